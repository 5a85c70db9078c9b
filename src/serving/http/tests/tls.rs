//! Encrypted connections.

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::*;
use crate::ErrorKind;
use crate::serving::transport::Tls;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/tls")
        .join(name)
}

fn tls() -> Tls {
    Tls::files(fixture("server.pem"), fixture("server-key.pem"))
}

/// Performs a handshake and sends a request; returns the status of the answer.
fn ask(server: &Running, with_certificate: bool, protocols: &[&str]) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(fixture("ca.pem")).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = if with_certificate {
        let chain = CertificateDer::pem_file_iter(fixture("client.pem"))
            .unwrap()
            .collect::<Result<Vec<_>, _>>()
            .unwrap();
        let key = PrivateKeyDer::from_pem_file(fixture("client-key.pem")).unwrap();
        builder.with_client_auth_cert(chain, key).unwrap()
    } else {
        builder.with_no_client_auth()
    };
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, server.connect());
    stream.write_all(
        b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    )?;
    stream.flush()?;
    if protocols.contains(&"h2") {
        let mut settings = [0; 9];
        stream.read_exact(&mut settings)?;
        let spoken = stream.conn.alpn_protocol().map(<[u8]>::to_vec);
        return Ok(String::from_utf8(spoken.unwrap_or_default()).unwrap());
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8(answer).unwrap())
}

#[test]
fn connections_are_encrypted() {
    let server = Running::with_one_model(&ServerOptions::default().tls(tls()));
    assert!(server.url.starts_with("https://"));
    let answer = ask(&server, false, &[]).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        ask(&server, false, &["http/1.1"])
            .unwrap()
            .ends_with(r#"{"live":true}"#)
    );
    // Who does not encrypt gets no answer.
    let mut plain = server.connect();
    plain
        .write_all(b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"));
    assert!(ask(&server, false, &[]).is_ok());
}

#[cfg(feature = "grpc")]
#[test]
fn http2_is_agreed_on() {
    let server = Running::with_one_model(&ServerOptions::default().tls(tls()));
    assert_eq!(ask(&server, false, &["h2"]).unwrap(), "h2");
}

#[test]
fn a_handshake_that_does_not_come_is_not_waited_for() {
    let options = ServerOptions::default()
        .tls(tls())
        .header_timeout(Duration::from_millis(50));
    let mut server = Running::with_one_model(&options);
    let mut silent = server.connect();
    assert_eq!(rest(&mut silent), "");
    assert!(ask(&server, false, &[]).is_ok());
    let _shaking = server.connect();
    server.shutdown();
}

#[test]
fn clients_are_asked_for_certificates() {
    let options = ServerOptions::default().tls(tls().client_ca(fixture("ca.pem")));
    let server = Running::with_one_model(&options);
    assert!(ask(&server, true, &[]).unwrap().starts_with("HTTP/1.1 200"));
    assert!(ask(&server, false, &[]).is_err());
}

#[test]
fn what_is_no_certificate_is_refused() {
    let pem = |name: &str| fs::read(fixture(name)).unwrap();
    let options = |certificate: Vec<u8>, key: Vec<u8>| {
        ServerOptions::default().tls(Tls::pem(certificate, key))
    };
    let key = pem("server-key.pem");
    for (options, problem) in [
        (
            options(pem("server.pem"), b"no key".to_vec()),
            "private key",
        ),
        (options(b"none".to_vec(), key.clone()), "no certificate"),
        (options(pem("client.pem"), key.clone()), "PEM in memory"),
    ] {
        let models = tempfile::tempdir().unwrap();
        let manager = Manager::open(ModelRepository::at(models.path()), Loaders::default());
        let error = Runtime::new()
            .unwrap()
            .block_on(options.serve(Arc::new(manager.unwrap()), "127.0.0.1:0"))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.to_string().contains(problem), "{error}");
    }
    let missing = ServerOptions::default().tls(Tls::files("/not/there", "/not/there"));
    let core = Running::start().handle.as_ref().unwrap().core().clone();
    let serving = missing.serve(core, "127.0.0.1:0");
    let error = Runtime::new().unwrap().block_on(serving).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let fine = options(pem("server.pem"), key.clone());
    let shown = format!("{fine:?}") + &serde_json::to_string(&fine).unwrap();
    let secret = String::from_utf8(key).unwrap();
    assert!(secret.lines().all(|line| !shown.contains(line)));
    let server = Running::with_one_model(&fine);
    assert!(ask(&server, false, &[]).is_ok());
}
