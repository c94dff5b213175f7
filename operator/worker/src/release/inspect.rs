//! What a component may not have, because compiling it could not be bounded otherwise.

use wasmparser::{Parser, Payload};

/// Bytes of one function: time and memory to compile one grow faster than its size, and 7 MiB of it take 1.5 GiB.
const FUNCTION_BYTES: usize = 1 << 20;

/// Looks at all functions of a component, in nested modules too.
///
/// # Errors
///
/// Which function is too long. What cannot be read at all is left to the compiler, which says why.
pub(super) fn inspect(wasm: &[u8]) -> Result<(), String> {
    let mut function = 0_usize;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload {
            Ok(Payload::CodeSectionStart { .. }) => function = 0,
            Ok(Payload::CodeSectionEntry(body)) => {
                let bytes = body.range().len();
                if bytes > FUNCTION_BYTES {
                    return Err(format!(
                        "function {function} of a module's code has {bytes} bytes, and {FUNCTION_BYTES} are allowed; split it"
                    ));
                }
                function += 1;
            }
            Ok(_) => {}
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(times: usize) -> Vec<u8> {
        let body = "(drop (i32.const 1))".repeat(times);
        let module = format!("(core module (func) (func {body}))");
        wat::parse_str(format!("(component (component {module}))")).unwrap()
    }

    #[test]
    fn a_long_function_is_named_wherever_it_is() {
        assert_eq!(inspect(&nested(1000)), Ok(()));
        let why = inspect(&nested(FUNCTION_BYTES / 3)).unwrap_err();
        assert!(why.starts_with("function 1 of a module's code has 1048577 bytes"), "{why}");
    }

    #[test]
    fn what_is_no_wasm_is_left_to_the_compiler() {
        assert_eq!(inspect(b"#!/bin/sh"), Ok(()));
    }
}
