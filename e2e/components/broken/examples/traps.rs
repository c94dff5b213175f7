//! An app that traps at its first request.

use wasip2::http::types::ResponseOutparam;

broken::answers_by!(traps);

fn traps(_response: ResponseOutparam) {
    std::process::abort();
}
