//! Static files: answered by the host, from the pod's volume.

use std::collections::BTreeMap;
use std::path::Path;

use futures::TryStreamExt as _;
use http::header::{self, HeaderName};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use percent_encoding::percent_decode_str;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;
use wasmtime_wasi_http::Error;

use crate::body::{self, Body};
use crate::form::StaticFile;

/// What is given for a path that ends in a slash.
const INDEX: &str = "index.html";
/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

/// Where the files of one route are.
pub(super) struct Place<'site> {
    /// The route's path.
    pub(super) route: &'site str,
    /// The files below it.
    pub(super) listed: &'site BTreeMap<String, StaticFile>,
    /// Where their contents lie, by CID.
    pub(super) directory: &'site Path,
}

/// Answers a request for a static file. Only names that are listed are looked at: no path leads anywhere else.
pub(super) async fn answer(place: &Place<'_>, head: &Parts) -> Response<Body> {
    if head.method != Method::GET && head.method != Method::HEAD {
        let line = "static files are for GET and HEAD";
        let mut refusal = body::answer(StatusCode::METHOD_NOT_ALLOWED, line);
        refusal.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    let path = head.uri.path();
    let Some(name) = name_below(place.route, path) else { return not_found() };
    let index = match name.trim_end_matches('/') {
        "" => INDEX.to_owned(),
        directory => format!("{directory}/{INDEX}"),
    };
    let is_directory = path.ends_with('/');
    let wanted = if is_directory { &index } else { &name };
    match place.listed.get(wanted) {
        Some(file) => give(place.directory, wanted, file, head).await,
        None if !is_directory && place.listed.contains_key(&index) => to_directory(path),
        None => not_found(),
    }
}

/// The path below a route, decoded; without the slash between them.
fn name_below(route: &str, path: &str) -> Option<String> {
    let below = path.strip_prefix(route.trim_end_matches('/'))?;
    let below = below.strip_prefix('/').unwrap_or(below);
    Some(percent_decode_str(below).decode_utf8().ok()?.into_owned())
}

fn not_found() -> Response<Body> {
    body::answer(StatusCode::NOT_FOUND, "there is no such file")
}

/// Links in a page count from the last slash of its address.
fn to_directory(path: &str) -> Response<Body> {
    let mut answer = body::answer(StatusCode::PERMANENT_REDIRECT, "this is a directory");
    match HeaderValue::try_from(format!("{path}/")) {
        Ok(location) => answer.headers_mut().insert(header::LOCATION, location),
        Err(_) => return not_found(),
    };
    answer
}

async fn give(directory: &Path, name: &str, file: &StaticFile, head: &Parts) -> Response<Body> {
    let tag = format!("\"{}\"", file.cid);
    let mut answer = if is_known(&head.headers, &tag) {
        let mut answer = Response::new(body::full(""));
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        answer
    } else if head.method == Method::HEAD {
        with_length(Response::new(body::full("")), file)
    } else {
        match File::open(directory.join(&file.cid)).await {
            Ok(content) => with_length(Response::new(stream(content, file.bytes)), file),
            Err(error) => {
                tracing::error!(%error, file.cid, "a static file cannot be read from the volume");
                let line = "the file cannot be read";
                return body::answer(StatusCode::INTERNAL_SERVER_ERROR, line);
            }
        }
    };
    let headers = answer.headers_mut();
    let mut set = |name: HeaderName, value: &str| {
        headers.extend(HeaderValue::try_from(value).ok().map(|value| (name, value)));
    };
    set(header::ETAG, &tag);
    // The next version may have another file here: it is to be asked for each time, and costs nothing if it is the same.
    set(header::CACHE_CONTROL, "no-cache");
    set(header::CONTENT_TYPE, kind(name));
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    answer
}

fn with_length(mut answer: Response<Body>, file: &StaticFile) -> Response<Body> {
    answer.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(file.bytes));
    answer
}

fn stream(content: File, bytes: u64) -> Body {
    let pieces = ReaderStream::with_capacity(content.take(bytes), PIECE);
    let pieces = pieces.map_ok(Frame::data);
    StreamBody::new(pieces.map_err(|error| Error::InternalError(Some(error.to_string()))))
        .boxed_unsync()
}

/// Whether whoever asks has the file already.
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let listed = headers.get_all(header::IF_NONE_MATCH).into_iter();
    let mut tags = listed.filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(','));
    tags.any(|known| {
        let known = known.trim();
        known == "*" || known.trim_start_matches("W/") == tag
    })
}

/// The media type of a file of this name.
fn kind(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
    match &*ending {
        "html" | "htm" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "txt" => "text/plain; charset=utf-8",
        "md" => "text/markdown; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "xml" => "application/xml",
        "pdf" => "application/pdf",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "ico" => "image/x-icon",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "mp3" => "audio/mpeg",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        "zip" => "application/zip",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::a_file("/img/a.png", Some("a.png"))]
    #[case::of_a_directory("/img/b/", Some("b/"))]
    #[case::the_route_itself("/img", Some(""))]
    #[case::in_code("/img/a%20b%2Fc", Some("a b/c"))]
    #[case::no_text("/img/%ff", None)]
    fn a_name_is_what_is_below_the_route(#[case] path: &str, #[case] name: Option<&str>) {
        assert_eq!(name_below("/img", path).as_deref(), name);
    }

    #[test]
    fn at_the_top_only_one_slash_is_taken_off() {
        assert_eq!(name_below("/", "//host/x").as_deref(), Some("/host/x"));
    }

    #[rstest]
    #[case::the_same("\"a\"", true)]
    #[case::weak("W/\"a\"", true)]
    #[case::one_of_many("\"b\", \"a\"", true)]
    #[case::any("*", true)]
    #[case::another("\"b\"", false)]
    fn a_tag_says_what_is_known(#[case] value: &'static str, #[case] known: bool) {
        let headers =
            HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_static(value))]);
        assert_eq!(is_known(&headers, "\"a\""), known);
    }
}
