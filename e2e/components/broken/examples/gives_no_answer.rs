//! An app that returns without an answer.

use wasip2::http::types::ResponseOutparam;

broken::answers_by!(gives_no_answer);

fn gives_no_answer(response: ResponseOutparam) {
    drop(response);
}
