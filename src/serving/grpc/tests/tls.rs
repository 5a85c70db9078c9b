//! Encrypted connections.

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::*;
use crate::serving::transport::Tls;

fn fixture(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/fixtures/tls").join(name)
}

#[test]
fn calls_are_encrypted() {
    let tls = Tls::files(fixture("server.pem"), fixture("server-key.pem"));
    let running = Running::with(&ServerOptions::default().tls(tls));
    let address = running.handle.as_ref().unwrap().address();
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(fixture("ca.pem")).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let answer = running.runtime.block_on(async {
        // A client that does not encrypt is disconnected.
        let plain = tokio::net::TcpStream::connect(address).await.unwrap();
        if let Ok((_, connection)) = h2::client::handshake(plain).await {
            assert!(connection.await.is_err());
        }
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = connector.connect(name, stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let client = Client::over(stream).await;
        let path = "/inference.GRPCInferenceService/ModelInfer".to_owned();
        client.ask(path, Vec::new(), raw().encode_to_vec()).await
    });
    answer.message::<ModelInferResponse>();
}
