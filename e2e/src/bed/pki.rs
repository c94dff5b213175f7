//! Certificates and keys of the cluster, made anew for every bed.

use std::{fs, net::Ipv4Addr, os::unix::fs::PermissionsExt as _, path::Path};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::json;

use super::{
    addresses::Addresses,
    command::Run,
    error::{Error, Result},
    paths::{self, Paths},
};

/// The nodes and what else has a certificate; file names are `<name>.crt` and `<name>.key`.
const CLIENTS: [(&str, &str, &str); 5] = [
    ("admin", "admin", "system:masters"),
    ("api-to-kubelet", "kube-apiserver-kubelet-client", "system:masters"),
    ("controller-manager", "system:kube-controller-manager", "system:kube-controller-manager"),
    ("scheduler", "system:kube-scheduler", "system:kube-scheduler"),
    ("proxy", "system:kube-proxy", "system:node-proxier"),
];

struct Authority<'a> {
    paths: &'a Paths,
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    server: String,
}

/// Makes the authority, a certificate for everyone, and their kubeconfig files.
///
/// # Errors
/// [`Error::Certificate`], [`Error::File`], and openssl's for the key of service accounts.
pub(super) async fn make(
    paths: &Paths,
    addresses: Addresses,
    nodes: &[(&str, Ipv4Addr)],
) -> Result<()> {
    let folder = paths.certificates();
    paths::make_folder(&folder)?;
    // RSA as most clusters have it, so that what reads our tokens meets what it will meet; rcgen makes no RSA keys.
    let service_accounts = folder.join("service-accounts.key");
    Run::new("openssl", "make the key of service accounts")
        .args(["genrsa", "-out"])
        .args([&service_accounts])
        .args(["2048"])
        .output()
        .await?;
    let authority = Authority::make(paths, addresses)?;
    authority.server("api-server", &api_server_names(addresses))?;
    for (name, user, group) in CLIENTS {
        authority.client(name, user, group)?;
    }
    for (node, address) in nodes {
        authority.client(node, &format!("system:node:{node}"), "system:nodes")?;
        authority.server(&format!("{node}-server"), &[(*node).to_owned(), address.to_string()])?;
    }
    fs::copy(folder.join("admin.kubeconfig"), paths.kubeconfig())
        .map(drop)
        .map_err(Error::file("write", paths.kubeconfig()))
}

fn api_server_names(addresses: Addresses) -> Vec<String> {
    let mut names: Vec<String> = [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "localhost",
    ]
    .map(str::to_owned)
    .into();
    names.extend([
        Ipv4Addr::LOCALHOST.to_string(),
        addresses.api_service().to_string(),
        addresses.control().to_string(),
    ]);
    names
}

impl<'a> Authority<'a> {
    fn make(paths: &'a Paths, addresses: Addresses) -> Result<Self> {
        let failed = |source| Error::Certificate { subject: "the authority".into(), source };
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
        params.distinguished_name.push(DnType::CommonName, "coreward bed");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let certificate = params.self_signed(&key).map_err(failed)?.pem();
        write_pair(&paths.certificates(), "ca", &certificate, &key)?;
        let issuer = Issuer::new(params, key);
        Ok(Self { paths, issuer, certificate, server: addresses.api_server() })
    }

    fn server(&self, name: &str, names: &[String]) -> Result<()> {
        let params = CertificateParams::new(names)
            .map_err(|source| Error::Certificate { subject: name.to_owned(), source })?;
        self.issue(name, params, ExtendedKeyUsagePurpose::ServerAuth).map(drop)
    }

    fn client(&self, name: &str, user: &str, group: &str) -> Result<()> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, user);
        params.distinguished_name.push(DnType::OrganizationName, group);
        let (certificate, key) = self.issue(name, params, ExtendedKeyUsagePurpose::ClientAuth)?;
        let config = kubeconfig(&self.server, &self.certificate, &certificate, &key);
        let path = self.paths.certificates().join(format!("{name}.kubeconfig"));
        write_secret(&path, &config)
    }

    fn issue(
        &self,
        name: &str,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<(String, String)> {
        let failed = |source| Error::Certificate { subject: name.to_owned(), source };
        let key = KeyPair::generate().map_err(failed)?;
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?.pem();
        write_pair(&self.paths.certificates(), name, &certificate, &key)?;
        Ok((certificate, key.serialize_pem()))
    }
}

fn kubeconfig(server: &str, authority: &str, certificate: &str, key: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "bed", "cluster": { "server": server, "certificate-authority-data": STANDARD.encode(authority) } }],
        "users": [{ "name": "user", "user": { "client-certificate-data": STANDARD.encode(certificate), "client-key-data": STANDARD.encode(key) } }],
        "contexts": [{ "name": "bed", "context": { "cluster": "bed", "user": "user" } }],
        "current-context": "bed",
    })
    .to_string()
}

fn write_pair(folder: &Path, name: &str, certificate: &str, key: &KeyPair) -> Result<()> {
    paths::write(&folder.join(format!("{name}.crt")), certificate)?;
    write_secret(&folder.join(format!("{name}.key")), &key.serialize_pem())
}

fn write_secret(path: &Path, text: &str) -> Result<()> {
    paths::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .map_err(Error::file("protect", path))
}
