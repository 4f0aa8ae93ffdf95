//! TLS for the metrics.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use super::watched::Watched;
use crate::files::regular;

/// Largest file.
const LARGEST: u64 = 1 << 20;

/// A certificate and its key, read again when they are renewed.
#[derive(Debug)]
pub(super) struct Tls(Watched<Arc<ServerConfig>>);

impl Tls {
    /// Reads both, in PEM.
    pub(super) fn open(cert: &Path, key: &Path) -> Result<Self> {
        Watched::open(vec![cert.to_owned(), key.to_owned()], read).map(Self)
    }

    /// For the next connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.get().as_ref().clone())
    }
}

fn read(paths: &[PathBuf]) -> Result<Arc<ServerConfig>> {
    let [cert, key] = paths else { anyhow::bail!("a certificate and a key") };
    let pem = |path: &PathBuf| regular(path, LARGEST).with_context(|| path.display().to_string());
    let chain = CertificateDer::pem_slice_iter(&pem(cert)?).collect::<Result<Vec<_>, _>>();
    // What the reader says may quote the file, and with it the key.
    let chain = chain.map_err(|_| anyhow!("{} is no certificate in PEM", cert.display()))?;
    ensure!(!chain.is_empty(), "{} holds no certificate", cert.display());
    let key = PrivateKeyDer::from_pem_slice(&Zeroizing::new(pem(key)?))
        .map_err(|_| anyhow!("{} is no private key in PEM", key.display()))?;
    let provider = Arc::new(ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.with_no_client_auth().with_single_cert(chain, key);
    Ok(Arc::new(config.context("the certificate and the key do not fit")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key whose line ends got lost on the way.
    #[test]
    fn what_a_key_holds_is_not_told() {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (folder.path().join("cert"), folder.path().join("key"));
        let made = rcgen::generate_simple_self_signed(["edge".to_owned()]).unwrap();
        std::fs::write(&cert, made.cert.pem()).unwrap();
        let pem = made.signing_key.serialize_pem();
        std::fs::write(&key, &pem).unwrap();
        assert!(Tls::open(&cert, &key).is_ok());
        for broken in [pem.replace('\n', "\\n"), pem.replace('\n', ""), pem.replace("-----END", "-----")] {
            std::fs::write(&key, &broken).unwrap();
            let said = format!("{:#}", Tls::open(&cert, &key).unwrap_err());
            assert_eq!(said, format!("{} is no private key in PEM", key.display()));
        }
    }
}
