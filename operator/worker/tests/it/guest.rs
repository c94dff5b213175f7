//! Sample components, put together from text.

use bytes::Bytes;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A sample component.
#[derive(Clone, Copy)]
pub(crate) struct Guest {
    /// What it answers with where its path says nothing else.
    pub(crate) status: u16,
    /// Instructions before anything else, for every request.
    pub(crate) first: &'static str,
    /// Whether it imports an interface that nobody has.
    pub(crate) wants_gpu: bool,
    /// Memory that it begins with, 64 KiB each.
    pub(crate) pages: u32,
    /// What `/evil` does before it answers; it returns 1 if it has answered itself.
    pub(crate) evil: &'static str,
    /// Further parts of its module.
    pub(crate) parts: &'static str,
}

/// A guest that behaves.
pub(crate) const GOOD: Guest =
    Guest { status: 200, first: "", wants_gpu: false, pages: 2, evil: "", parts: "" };

impl Guest {
    /// The component's bytes.
    pub(crate) fn build(self) -> Bytes {
        let import = r#"(import "acme:gpu/compute" "multiply" (func $multiply (param i32 i32) (result i32)))"#;
        let text = include_str!("guest.wat")
            .replace("IMPORT", if self.wants_gpu { import } else { "" })
            .replace("FIRST", self.first)
            .replace("EVIL", self.evil)
            .replace("PARTS", self.parts)
            .replace("PAGES", &self.pages.to_string())
            .replace("STATUS", &self.status.to_string());
        let mut module = wat::parse_str(text).unwrap();
        let interface = include_str!("guest.wit")
            .replace("EXTRA", if self.wants_gpu { "import acme:gpu/compute;" } else { "" });
        let mut resolve = Resolve::default();
        let package = resolve.push_str("guest.wit", &interface).unwrap();
        let world = resolve.select_world(&[package], Some("guest")).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap().into()
    }
}

/// A component with one function that takes long to compile.
pub(crate) fn long_to_compile() -> Bytes {
    let step =
        "(local.set 0 (i32.xor (i32.mul (local.get 0) (i32.const 7)) (i32.load (local.get 0))))";
    let text =
        format!("(component (core module (memory 1) (func (param i32) {})))", step.repeat(60_000));
    wat::parse_str(text).unwrap().into()
}
