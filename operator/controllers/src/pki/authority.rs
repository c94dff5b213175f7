//! An authority and the certificates that it signs.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::{Error, KEY};

/// Name of the authority.
const AUTHORITY_NAME: &str = "coreward-pods";

/// What is kept of an authority, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Material {
    /// Its certificate.
    pub certificate: String,
    /// Its key. Secret.
    pub key: String,
}

impl std::fmt::Debug for Material {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Material")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

/// An authority that can sign.
#[derive(Debug)]
pub struct Authority {
    material: Material,
    key: KeyPair,
}

impl Authority {
    /// A new authority.
    ///
    /// # Errors
    ///
    /// [`Error::Certificate`] if there is no randomness.
    pub fn make() -> Result<Self, Error> {
        let failure = |source| Error::Certificate { subject: AUTHORITY_NAME.to_owned(), source };
        let key = KeyPair::generate().map_err(failure)?;
        let certificate = parameters().self_signed(&key).map_err(failure)?;
        let material = Material { certificate: certificate.pem(), key: key.serialize_pem() };
        Ok(Self { material, key })
    }

    /// The authority that was kept.
    ///
    /// # Errors
    ///
    /// [`Error::Content`] if its key does not read.
    pub fn load(material: Material) -> Result<Self, Error> {
        let key = KeyPair::from_pem(&material.key).map_err(|_| Error::Content { key: KEY })?;
        Ok(Self { material, key })
    }

    /// What is kept of it.
    #[must_use]
    pub const fn material(&self) -> &Material {
        &self.material
    }

    /// TLS for a server of these names, with a key of its own that never leaves memory.
    ///
    /// # Errors
    ///
    /// [`Error::Certificate`] for a name that is none; [`Error::Serve`] if the TLS library refuses.
    pub fn serving(&self, names: &[String]) -> Result<Arc<ServerConfig>, Error> {
        let subject = names.first().cloned().unwrap_or_default();
        let failure = |source| Error::Certificate { subject: subject.clone(), source };
        let key = KeyPair::generate().map_err(failure)?;
        let mut parameters = CertificateParams::new(names.to_vec()).map_err(failure)?;
        parameters.distinguished_name.push(DnType::CommonName, subject.as_str());
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.not_before = date_time_ymd(2020, 1, 1);
        parameters.not_after = date_time_ymd(2070, 1, 1);
        let issuer = Issuer::new(self::parameters(), &self.key);
        let certificate = parameters.signed_by(&key, &issuer).map_err(failure)?;
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .map_err(|source| Error::Serve { source })?;
        Ok(Arc::new(config))
    }
}

/// The authority's certificate is the same for the same key: it can be made again to sign with. It is good for so long that
/// its end is not an event; rotation is by age.
fn parameters() -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, AUTHORITY_NAME);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters.not_before = date_time_ymd(2020, 1, 1);
    parameters.not_after = date_time_ymd(2070, 1, 1);
    parameters
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::{ClientConfig, RootCertStore};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;

    const NAME: &str = "coreward-pods.coreward-system.svc";

    async fn shake_hands(authority: &Authority, asked: &'static str) -> std::io::Result<()> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut roots = RootCertStore::empty();
        roots
            .add(
                CertificateDer::from_pem_slice(authority.material().certificate.as_bytes())
                    .unwrap(),
            )
            .unwrap();
        let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let (near, far) = tokio::io::duplex(16 * 1024);
        let acceptor = TlsAcceptor::from(authority.serving(&[NAME.to_owned()]).unwrap());
        let connector = TlsConnector::from(Arc::new(client));
        let (served, connected) = tokio::join!(
            acceptor.accept(far),
            connector.connect(ServerName::try_from(asked).unwrap(), near)
        );
        connected?;
        served.map(drop)
    }

    #[tokio::test]
    async fn a_pod_trusts_the_endpoint_by_its_anchor() {
        shake_hands(&Authority::make().unwrap(), NAME).await.unwrap();
    }

    #[tokio::test]
    async fn an_authority_that_was_kept_signs_the_same() {
        let made = Authority::make().unwrap();
        shake_hands(&Authority::load(made.material().clone()).unwrap(), NAME).await.unwrap();
    }

    #[tokio::test]
    async fn another_name_is_not_trusted() {
        shake_hands(&Authority::make().unwrap(), "elsewhere.svc").await.unwrap_err();
    }

    #[test]
    fn the_key_is_not_shown() {
        let authority = Authority::make().unwrap();
        assert!(!format!("{authority:?}").contains("PRIVATE"));
    }
}
