//! An app that answers, and that calls the other workers of its deal.
//!
//! | path | answer |
//! | --- | --- |
//! | `/` | `hello`, and who asked where the host says so |
//! | `/call/<name>` | what `http://<name>.subnet.internal/` answers: a worker's id in decimal, or `self` |
//! | `/call/<name>/<path>` | the same for another path |
//! | `/members` | what `http://subnet.internal/members` answers |
//! | `/trap` | none: the app ends itself |

use wasip2::{
    exports::http::incoming_handler::Guest,
    http::{
        outgoing_handler,
        types::{
            Fields, IncomingRequest, IncomingResponse, OutgoingBody, OutgoingRequest,
            OutgoingResponse, ResponseOutparam, Scheme,
        },
    },
    io::streams::StreamError,
};

/// The host adds it to requests that come over the subnet.
const CALLER: &str = "coreward-caller";
/// What one write to a body's stream may hold.
const PIECE: usize = 4096;
const READ_AT_ONCE: u64 = 64 * 1024;

struct Hello;

wasip2::http::proxy::export!(Hello);

impl Guest for Hello {
    fn handle(request: IncomingRequest, response: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let (status, text) = answer(&path, &request);
        respond(response, status, &text);
    }
}

fn answer(path: &str, request: &IncomingRequest) -> (u16, String) {
    if path == "/" {
        return (200, greeting(request));
    }
    if path == "/members" {
        return fetch("subnet.internal", "/members");
    }
    if path == "/trap" {
        std::process::abort();
    }
    match path.strip_prefix("/call/") {
        Some(rest) => {
            let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
            fetch(&format!("{name}.subnet.internal"), &format!("/{path}"))
        }
        None => (404, format!("nothing is at {path}\n")),
    }
}

fn greeting(request: &IncomingRequest) -> String {
    let caller = request.headers().get(CALLER);
    match caller.first().map(|value| String::from_utf8_lossy(value)) {
        Some(caller) => format!("hello, worker {caller}\n"),
        None => "hello\n".to_owned(),
    }
}

/// What a GET gives; a failure of the network is a 502 with its words.
fn fetch(authority: &str, path: &str) -> (u16, String) {
    match get(authority, path) {
        Ok(answer) => answer,
        Err(reason) => (502, format!("{authority} cannot be reached: {reason}\n")),
    }
}

fn get(authority: &str, path: &str) -> Result<(u16, String), String> {
    let request = OutgoingRequest::new(Fields::new());
    let refused = |()| format!("{authority}{path} is no address");
    request.set_scheme(Some(&Scheme::Http)).map_err(refused)?;
    request.set_authority(Some(authority)).map_err(refused)?;
    request.set_path_with_query(Some(path)).map_err(refused)?;
    let future = outgoing_handler::handle(request, None).map_err(|error| error.to_string())?;
    future.subscribe().block();
    let response = match future.get() {
        Some(Ok(Ok(response))) => response,
        Some(Ok(Err(error))) => return Err(error.to_string()),
        Some(Err(())) | None => return Err("the answer was taken already".to_owned()),
    };
    Ok((response.status(), read(&response)?))
}

fn read(response: &IncomingResponse) -> Result<String, String> {
    let body = response.consume().map_err(|()| "the answer has no body".to_owned())?;
    let stream = body.stream().map_err(|()| "the answer's body was taken already".to_owned())?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(READ_AT_ONCE) {
            Ok(piece) => bytes.extend(piece),
            Err(StreamError::Closed) => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn respond(outparam: ResponseOutparam, status: u16, text: &str) {
    let headers = Fields::new();
    // A host that refuses so plain a header or status would refuse every answer; the client sees its error then.
    let _ = headers.append("content-type", b"text/plain; charset=utf-8");
    let response = OutgoingResponse::new(headers);
    let _ = response.set_status_code(status);
    let Ok(body) = response.body() else { return };
    ResponseOutparam::set(outparam, Ok(response));
    if let Ok(stream) = body.write() {
        for piece in text.as_bytes().chunks(PIECE) {
            if stream.blocking_write_and_flush(piece).is_err() {
                // The client went away: nobody is left to tell.
                return;
            }
        }
    }
    let _ = OutgoingBody::finish(body, None);
}
