//! Tar archives, as much of them as an image needs.

/// Bytes of a tar block.
const BLOCK: usize = 512;

/// An archive in the making; every entry belongs to root and has no date, so that equal contents give equal bytes.
#[derive(Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
}

impl Archive {
    /// Adds a folder; its name may begin and end with a slash.
    pub(super) fn folder(&mut self, name: &str, mode: u32) {
        self.header(&format!("{}/", name.trim_matches('/')), mode, 0, b'5');
    }

    /// Adds a file.
    pub(super) fn file(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.header(name.trim_start_matches('/'), mode, content.len(), b'0');
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    /// The whole archive.
    #[must_use]
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 2 * BLOCK, 0);
        self.bytes
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(BLOCK), 0);
    }

    /// The POSIX header: fields at fixed places, numbers in octal, a sum of all bytes with the sum's own field as spaces.
    fn header(&mut self, name: &str, mode: u32, size: usize, kind: u8) {
        let mut header = [0_u8; BLOCK];
        let mut put = |at: usize, text: &[u8]| {
            for (place, byte) in header.iter_mut().skip(at).zip(text) {
                *place = *byte;
            }
        };
        debug_assert!(name.len() <= 100, "{name} is longer than the header's field");
        put(0, name.as_bytes());
        put(100, format!("{mode:07o}").as_bytes());
        put(108, b"0000000");
        put(116, b"0000000");
        put(124, format!("{size:011o}").as_bytes());
        put(136, b"00000000000");
        put(148, b"        ");
        put(156, &[kind]);
        put(257, b"ustar\x0000");
        let sum: u32 = header.iter().copied().map(u32::from).sum();
        let mut put = |at: usize, text: &[u8]| {
            for (place, byte) in header.iter_mut().skip(at).zip(text) {
                *place = *byte;
            }
        };
        put(148, format!("{sum:06o}\0 ").as_bytes());
        self.bytes.extend_from_slice(&header);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::Archive;

    #[test]
    fn the_systems_tar_reads_what_we_write() {
        let mut archive = Archive::default();
        archive.folder("/tmp", 0o1777);
        archive.file("/etc/passwd", 0o644, b"nobody\n");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar");
        std::fs::write(&path, archive.finish()).unwrap();
        let list = Command::new("tar").arg("-tvf").arg(&path).output().unwrap();
        let text = String::from_utf8(list.stdout).unwrap();
        assert!(list.status.success());
        assert!(text.contains("drwxrwxrwt") && text.contains("tmp/"), "{text}");
        assert!(text.contains("-rw-r--r--") && text.contains("etc/passwd"), "{text}");
    }
}
