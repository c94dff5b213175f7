//! The parts of one version of the app, ready to answer.

use std::path::PathBuf;
use std::sync::Arc;

use http::request::Parts;
use http::{Response, StatusCode};
use wasmtime_wasi_config::WasiConfigVariables;
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use super::files;
use super::guest::Guest;
use crate::body::{self, Body};
use crate::form::{Form, Target};

/// The parts of one version of the app.
pub(super) struct Site {
    pub(super) form: Form,
    /// In the form's order of components.
    pub(super) programs: Vec<ProxyPre<Guest>>,
    /// What `wasi:config` tells them.
    pub(super) config: Arc<WasiConfigVariables>,
    /// Where static files lie, by CID.
    pub(super) files: PathBuf,
}

/// Who answers a request.
pub(super) enum Turn {
    /// The component at this place.
    Component(usize),
    /// Nobody has to be asked.
    Answered(Response<Body>),
}

impl Site {
    /// Who answers the request with this head, by its path.
    pub(super) async fn turn(&self, head: &Parts) -> Turn {
        match self.form.route(head.uri.path()) {
            None => {
                let line = "no route of the app leads here";
                Turn::Answered(body::answer(StatusCode::NOT_FOUND, line))
            }
            Some(route) => match &route.target {
                Target::Component(component) => Turn::Component(*component),
                Target::Files(listed) => {
                    let place = files::Place { route: &route.path, listed, directory: &self.files };
                    Turn::Answered(files::answer(&place, head).await)
                }
            },
        }
    }

    /// What each component is asked first: its name and a path that leads to it.
    pub(super) fn first_requests(&self) -> Vec<(String, String)> {
        let names = self.form.components.iter().cloned().enumerate();
        names.map(|(at, name)| (name, self.form.path_of(at).to_owned())).collect()
    }
}
