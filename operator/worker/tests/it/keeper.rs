//! A sample component that keeps something.

use bytes::Bytes;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// As much of the draft as the sample uses.
const CONFIG: &str = "package wasi:config@0.2.0-rc.1;
interface store {
  variant error { upstream(string), io(string) }
  get: func(key: string) -> result<option<string>, error>;
}";

/// What it imports beside what the other sample does.
const EXTRA: &str = "import wasi:config/store@0.2.0-rc.1;
import wasi:keyvalue/store@0.2.0-draft;
import wasi:keyvalue/atomics@0.2.0-draft;";

/// The component; it keeps `size` bytes in one call.
pub(crate) fn keeper(size: usize) -> Bytes {
    let text = include_str!("keeper.wat").replace("SIZE", &size.to_string());
    let mut module = wat::parse_str(text).unwrap();
    let mut resolve = Resolve::default();
    resolve.push_str("config.wit", CONFIG).unwrap();
    resolve.push_str("keyvalue.wit", include_str!("../../wit/keyvalue.wit")).unwrap();
    let interface = include_str!("guest.wit").replace("EXTRA", EXTRA);
    let package = resolve.push_str("guest.wit", &interface).unwrap();
    let world = resolve.select_world(&[package], Some("guest")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap().into()
}
