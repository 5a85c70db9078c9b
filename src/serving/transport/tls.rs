//! Encryption: certificates, their keys, and taking up new ones.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::error::{Error, Result};

/// A certificate chain and its key, in PEM; TLS 1.2 and 1.3.
///
/// Files are looked at every ten seconds: a renewed certificate is taken up without a restart, and one that cannot be
/// read leaves the old one in use.
///
/// ```
/// use fourfold::serving::http::{ServerOptions, Tls};
///
/// let options = ServerOptions::default().tls(Tls::files("cert.pem", "key.pem").client_ca("ca.pem"));
/// # options.check()?;
/// # Ok::<(), fourfold::Error>(())
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    #[serde(default)]
    client_ca: Option<PathBuf>,
    /// Used in place of the files; never written anywhere.
    #[serde(skip)]
    pem: Option<Arc<(Vec<u8>, Vec<u8>)>>,
}

impl Tls {
    /// TLS with files: the certificate chain, the server's own first, and the private key.
    #[must_use]
    pub fn files(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Tls {
            certificate: certificate.into(),
            key: key.into(),
            client_ca: None,
            pem: None,
        }
    }

    /// TLS with PEM in memory: the certificate chain, the server's own first, and the private key.
    #[must_use]
    pub fn pem(certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        Tls {
            pem: Some(Arc::new((certificate.into(), key.into()))),
            ..Tls::files("", "")
        }
    }

    /// Accepts only clients with a certificate signed by an authority of this PEM file.
    #[must_use]
    pub fn client_ca(mut self, path: impl Into<PathBuf>) -> Self {
        self.client_ca = Some(path.into());
        self
    }

    fn config(&self) -> Result<ServerConfig> {
        let read = |path: &Path| {
            fs::read(path)
                .map_err(|error| Error::io(format_args!("reading {}", path.display()), error))
        };
        let (chain, key, named) = match self.pem.as_deref() {
            Some((chain, key)) => (chain.clone(), key.clone(), "the PEM in memory".to_owned()),
            None => (
                read(&self.certificate)?,
                read(&self.key)?,
                format!("{} and {}", self.certificate.display(), self.key.display()),
            ),
        };
        let chain = certificates(&chain, &named)?;
        // Errors about a key contain no part of it.
        let key = PrivateKeyDer::from_pem_slice(&key)
            .map_err(|_| Error::config(format!("{named}: no private key in PEM format")))?;
        let refused = |error: &dyn fmt::Display| Error::config(format!("{named}: {error}"));
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| refused(&error))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for authority in certificates(&read(path)?, &path.display().to_string())? {
                    roots.add(authority).map_err(|error| refused(&error))?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .build()
                        .map_err(|error| refused(&error))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| refused(&error))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    /// The times at which the files were written; `None` for files that cannot be examined.
    fn written(&self) -> Vec<Option<SystemTime>> {
        [
            Some(&self.certificate),
            Some(&self.key),
            self.client_ca.as_ref(),
        ]
        .into_iter()
        .flatten()
        .map(|path| fs::metadata(path).and_then(|file| file.modified()).ok())
        .collect()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("certificate", &self.certificate)
            .field("key", &self.key)
            .field("client_ca", &self.client_ca)
            .field("in_memory", &self.pem.is_some())
            .finish()
    }
}

fn certificates(pem: &[u8], named: &str) -> Result<Vec<CertificateDer<'static>>> {
    let refused = |what: &dyn fmt::Display| Error::config(format!("{named}: {what}"));
    let chain = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| refused(&error))?;
    if chain.is_empty() {
        return Err(refused(&"no certificate in PEM format"));
    }
    Ok(chain)
}

/// The current configuration of TLS.
#[derive(Debug)]
pub(super) struct Encryption {
    tls: Tls,
    config: ArcSwap<ServerConfig>,
    written: Mutex<Vec<Option<SystemTime>>>,
}

impl Encryption {
    pub(super) fn new(tls: Tls) -> Result<Self> {
        let written = tls.written();
        Ok(Encryption {
            config: ArcSwap::from_pointee(tls.config()?),
            written: Mutex::new(written),
            tls,
        })
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }

    /// Reloads changed files.
    pub(super) fn refresh(&self) {
        if self.tls.pem.is_some() {
            return;
        }
        let written = self.tls.written();
        let mut known = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == written {
            return;
        }
        *known = written;
        match self.tls.config() {
            Ok(config) => {
                self.config.store(Arc::new(config));
                tracing::info!(certificate = %self.tls.certificate.display(), "reloaded the certificate");
            }
            Err(error) => tracing::warn!(
                ?error,
                "the certificate cannot be reloaded; the previous one stays in use"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn fixture(name: &str) -> PathBuf {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        root.join("tests/fixtures/tls").join(name)
    }

    #[test]
    fn a_renewed_certificate_is_taken_up() {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = (
            directory.path().join("cert.pem"),
            directory.path().join("key.pem"),
        );
        fs::copy(fixture("server.pem"), &certificate).unwrap();
        fs::copy(fixture("server-key.pem"), &key).unwrap();
        let encryption = Encryption::new(Tls::files(&certificate, &key)).unwrap();
        let config = || Arc::clone(encryption.acceptor().config());
        let first = config();
        encryption.refresh();
        assert!(Arc::ptr_eq(&first, &config()));
        let touch = |path: &Path, bytes: &[u8], seconds: u64| {
            fs::write(path, bytes).unwrap();
            let file = fs::File::options().write(true).open(path).unwrap();
            let time = SystemTime::now() + Duration::from_secs(seconds);
            file.set_modified(time).unwrap();
        };
        touch(&certificate, b"broken", 5);
        encryption.refresh();
        assert!(Arc::ptr_eq(&first, &config()), "the old one stays in use");
        touch(&certificate, &fs::read(fixture("client.pem")).unwrap(), 10);
        touch(&key, &fs::read(fixture("client-key.pem")).unwrap(), 10);
        encryption.refresh();
        assert!(!Arc::ptr_eq(&first, &config()));
    }
}
