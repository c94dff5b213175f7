//! An app that takes memory as long as there is some.

use core::arch::wasm32;

use wasip2::http::types::ResponseOutparam;

/// Pages of 64 KiB that it takes at once.
const PAGES: usize = 16;

broken::answers_by!(eats_memory);

fn eats_memory(_response: ResponseOutparam) {
    while wasm32::memory_grow::<0>(PAGES) != usize::MAX {}
    std::process::abort();
}
