//! The worker from outside: real processes, with an operator and a node agent that do as told.

mod artifact;
mod guest;
mod request;
mod subnet;
mod world;
