//! `dyn-prefix convert`: the configuration of an in-cluster operator as one of ours.

use std::io::Read;
use std::path::Path;

use anyhow::Context;

use crate::convert;

use super::args::{ConvertArgs, Origin};
use super::{Exit, terminal};

/// Prints the configuration, or why there is none.
pub(super) fn convert(args: &ConvertArgs) -> anyhow::Result<Exit> {
    let (shown, result) = match &args.file {
        Some(file) => (file.display().to_string(), from_file(file, args.from)?),
        None if matches!(args.from, Origin::Auto | Origin::MetallbDyn6) => {
            ("the arguments".to_owned(), convert::arguments(&args.arguments))
        }
        None => anyhow::bail!("only metallb-dyn6 has arguments; name a file, or - for standard input"),
    };
    match result {
        Ok(text) => {
            terminal::say(&text)?;
            Ok(Exit::Done)
        }
        Err(problems) => {
            for problem in problems {
                terminal::complain(&match problem.line {
                    Some(line) => format!("{shown}:{line}: {}", problem.message),
                    None => format!("{shown}: {}", problem.message),
                });
            }
            Ok(Exit::Failed)
        }
    }
}

fn from_file(file: &Path, from: Origin) -> anyhow::Result<Result<String, Vec<convert::Problem>>> {
    let only = match from {
        Origin::Auto => None,
        Origin::DynamicPrefix => Some(convert::Origin::DynamicPrefix),
        Origin::K6u => Some(convert::Origin::K6u),
        Origin::MetallbDyn6 => Some(convert::Origin::MetallbDyn6),
    };
    Ok(convert::manifests(&read(file)?, only))
}

/// Manifests are small: what is larger is another file.
const MOST: u64 = 16 << 20;

fn read(file: &Path) -> anyhow::Result<String> {
    let shown = file.display();
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().take(MOST).read_to_string(&mut text).context("cannot read standard input")?;
    } else {
        let opened = std::fs::File::open(file).with_context(|| format!("cannot read {shown}"))?;
        opened.take(MOST).read_to_string(&mut text).with_context(|| format!("cannot read {shown}"))?;
    }
    Ok(text)
}
