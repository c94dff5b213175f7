//! As much of protobuf as `dag-pb` and `UnixFS` need: varints and length-delimited fields of a message in memory.

use bytes::{Buf as _, Bytes};

/// One field of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Number(u64),
    Bytes(Bytes),
}

/// Takes the next field, with its number, off the front of `message`; `None` if it is cut short or of an unknown type.
pub(crate) fn take_field(message: &mut Bytes) -> Option<(u64, Value)> {
    let key = take_varint(message)?;
    let value = match key & 7 {
        0 => Value::Number(take_varint(message)?),
        2 => {
            let length = usize::try_from(take_varint(message)?).ok()?;
            Value::Bytes(take_bytes(message, length)?)
        }
        // Fixed 64 and 32 bits: no field of ours, but legal in later versions of the schema.
        1 => Value::Bytes(take_bytes(message, 8)?),
        5 => Value::Bytes(take_bytes(message, 4)?),
        _ => return None,
    };
    Some((key >> 3, value))
}

/// Takes an unsigned LEB128 number of at most 64 bits off the front.
pub(crate) fn take_varint(bytes: &mut Bytes) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        if bytes.is_empty() {
            return None;
        }
        let byte = bytes.get_u8();
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Takes `length` bytes off the front.
pub(crate) fn take_bytes(bytes: &mut Bytes, length: usize) -> Option<Bytes> {
    (length <= bytes.len()).then(|| bytes.split_to(length))
}

/// Appends an unsigned LEB128 number.
pub(crate) fn put_varint(mut number: u64, to: &mut Vec<u8>) {
    loop {
        let bits = u8::try_from(number & 0x7f).expect("seven bits fit into a byte");
        number >>= 7;
        if number == 0 {
            to.push(bits);
            return;
        }
        to.push(bits | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rstest::rstest;

    use super::{put_varint, take_field, take_varint};

    #[rstest]
    #[case(0)]
    #[case(127)]
    #[case(128)]
    #[case(300)]
    #[case(u64::MAX)]
    fn a_number_survives_the_way_there_and_back(#[case] number: u64) {
        let mut written = Vec::new();
        put_varint(number, &mut written);
        let mut bytes = Bytes::from(written);
        assert_eq!((take_varint(&mut bytes), bytes.len()), (Some(number), 0));
    }

    #[rstest]
    #[case::cut_short(&[0x80])]
    #[case::more_than_64_bits(&[0xff; 11])]
    fn refuses_a_number(#[case] bytes: &'static [u8]) {
        assert_eq!(take_varint(&mut Bytes::from_static(bytes)), None);
    }

    #[rstest]
    #[case::longer_than_the_message(&[0x0a, 0x7f, 1])]
    #[case::a_group(&[0x0b])]
    #[case::a_length_of_many_gigabytes(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])]
    fn refuses_a_field(#[case] bytes: &'static [u8]) {
        assert_eq!(take_field(&mut Bytes::from_static(bytes)), None);
    }
}
