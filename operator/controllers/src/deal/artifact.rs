//! An app's CID as text.

/// The alphabet of multibase `b`.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// A binary `CIDv1` in base32, as IPFS gateways take it.
#[must_use]
pub fn text(binary: &[u8]) -> String {
    let mut text = String::from("b");
    let (mut bits, mut count) = (0_u32, 0_u32);
    for byte in binary {
        bits = (bits << 8) | u32::from(*byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            text.push(letter(bits >> count));
        }
        bits &= (1 << count) - 1;
    }
    if count > 0 {
        text.push(letter(bits << (5 - count)));
    }
    text
}

fn letter(bits: u32) -> char {
    char::from(ALPHABET[(bits & 31) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_sha256_cid_is_written_as_gateways_take_it() {
        // Raw codec, sha2-256 of the empty string.
        let digest =
            hex::decode("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
                .unwrap();
        let binary = [vec![0x01, 0x55, 0x12, 0x20], digest].concat();
        assert_eq!(text(&binary), "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku");
    }
}
