//! An app that traps at its first request, as a broken one does.

use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Traps;

wasip2::http::proxy::export!(Traps);

impl wasip2::exports::http::incoming_handler::Guest for Traps {
    fn handle(_request: IncomingRequest, _response: ResponseOutparam) {
        std::process::abort();
    }
}
