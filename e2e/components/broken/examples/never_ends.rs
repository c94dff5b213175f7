//! An app that goes round and round.

use wasip2::http::types::ResponseOutparam;

broken::answers_by!(never_ends);

fn never_ends(_response: ResponseOutparam) {
    loop {
        std::hint::spin_loop();
    }
}
