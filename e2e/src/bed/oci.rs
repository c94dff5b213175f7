//! Images in the OCI layout, made without a registry or a builder.

use std::fs;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    command::Run,
    error::{Error, Result},
    tar::Archive,
};

/// User and group of everything in an image.
const USER: &str = "65532:65532";
const PASSWD: &str =
    "root:x:0:0:root:/:/nonexistent\nnonroot:x:65532:65532:nonroot:/tmp:/nonexistent\n";
const GROUP: &str = "root:x:0:\nnonroot:x:65532:\n";
/// The machine's certificate authorities: TLS libraries refuse to start without any.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// An image of one program, ready to be written out under a name.
#[derive(Debug)]
pub(super) struct Image {
    layer: Vec<u8>,
    config: Vec<u8>,
    manifest: Vec<u8>,
}

impl Image {
    /// An image with this program as its entry, and with the libraries that the dynamic loader would load for it.
    ///
    /// # Errors
    /// [`Error::Failed`] where `ldd` refuses the file, [`Error::File`] where a library cannot be read.
    pub(super) fn of_program(name: &str, program: &[u8], libraries: &[String]) -> Result<Self> {
        let mut archive = Archive::default();
        archive.folder("tmp", 0o1777);
        archive.file("etc/passwd", 0o644, PASSWD.as_bytes());
        archive.file("etc/group", 0o644, GROUP.as_bytes());
        archive.file("etc/nsswitch.conf", 0o644, b"hosts: files dns\n");
        if let Ok(authorities) = fs::read(AUTHORITIES) {
            archive.file(AUTHORITIES, 0o644, &authorities);
        }
        for library in libraries {
            archive.file(library, 0o755, &fs::read(library).map_err(Error::file("read", library))?);
        }
        let entry = format!("/{name}");
        archive.file(&entry, 0o755, program);
        Ok(Self::of_layer(archive.finish(), &entry))
    }

    fn of_layer(layer: Vec<u8>, entry: &str) -> Self {
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "config": { "User": USER, "Entrypoint": [entry], "WorkingDir": "/", "Env": ["PATH=/"] },
            "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
        })
        .to_string()
        .into_bytes();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
        })
        .to_string()
        .into_bytes();
        Self { layer, config, manifest }
    }

    /// Twelve hex digits that name the content.
    #[must_use]
    pub(super) fn version(&self) -> String {
        hex::encode(Sha256::digest(&self.manifest))[..12].to_owned()
    }

    /// The archive that `ctr images import` takes, giving the image all these names.
    #[must_use]
    pub(super) fn archive(&self, names: &[String]) -> Vec<u8> {
        let manifests: Vec<Value> = names
            .iter()
            .map(|name| {
                let mut entry =
                    descriptor("application/vnd.oci.image.manifest.v1+json", &self.manifest);
                if let Some(fields) = entry.as_object_mut() {
                    fields
                        .insert("annotations".into(), json!({ "io.containerd.image.name": name }));
                }
                entry
            })
            .collect();
        let mut archive = Archive::default();
        archive.file("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#);
        archive.file(
            "index.json",
            0o644,
            json!({ "schemaVersion": 2, "manifests": manifests }).to_string().as_bytes(),
        );
        for blob in [&self.manifest, &self.config, &self.layer] {
            let name = digest(blob).replace(':', "/");
            archive.file(&format!("blobs/{name}"), 0o644, blob);
        }
        archive.finish()
    }
}

/// The shared libraries of a program, by the path under which the loader looks for them; none for a static one.
///
/// # Errors
/// [`Error::Failed`] where a library is missing.
pub(super) async fn libraries(program: &std::path::Path) -> Result<Vec<String>> {
    let listed = Run::new("ldd", format!("list the libraries of {}", program.display()))
        .args([program])
        .output()
        .await;
    let text = match listed {
        Ok(text) => text,
        Err(Error::Failed { output, .. }) if output.contains("not a dynamic executable") => {
            String::new()
        }
        Err(other) => return Err(other),
    };
    if let Some(line) = text.lines().find(|line| line.contains("not found")) {
        return Err(Error::Missing {
            missing: format!("{} wants a library: {}", program.display(), line.trim()),
            remedy: "Install the Debian package that brings it.".into(),
        });
    }
    Ok(text.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned).collect())
}

fn descriptor(kind: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": kind, "digest": digest(bytes), "size": bytes.len() })
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}
