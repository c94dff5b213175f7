//! An app that answers every request with an error.

use wasip2::http::types::{Fields, OutgoingResponse, ResponseOutparam};

broken::answers_by!(fails);

fn fails(response: ResponseOutparam) {
    let failed = OutgoingResponse::new(Fields::new());
    if failed.set_status_code(500).is_ok() {
        ResponseOutparam::set(response, Ok(failed));
    }
}
