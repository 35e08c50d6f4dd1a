//! Hooks and files: the deciders in virtual time, the drivers with real processes and files.

mod files;
mod hooks;
mod run;
mod template;
mod told;
mod world;
mod write;
