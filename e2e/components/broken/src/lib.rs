//! What the apps in `examples` share, each of which is broken in one way.

/// Makes a component whose answer to every request is what this function does.
#[macro_export]
macro_rules! answers_by {
    ($answer:path) => {
        struct Broken;

        wasip2::http::proxy::export!(Broken);

        impl wasip2::exports::http::incoming_handler::Guest for Broken {
            fn handle(
                _request: wasip2::http::types::IncomingRequest,
                response: wasip2::http::types::ResponseOutparam,
            ) {
                $answer(response);
            }
        }
    };
}
