//! Turns committed corpora into folders and back.

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
usage: corpus list                 the names of all targets
       corpus expand NAME FOLDER   write the inputs of a target into a folder
       corpus collect NAME FOLDER  make a folder's files the committed inputs";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args.as_slice() {
        ["list"] => {
            syncom_fuzz::TARGETS.iter().for_each(|(name, _)| println!("{name}"));
            Ok(())
        }
        ["expand", name, folder] if syncom_fuzz::target(name).is_some() => {
            syncom_fuzz::expand(name, Path::new(folder))
                .map(|count| println!("{name}: {count} inputs"))
        }
        ["collect", name, folder] if syncom_fuzz::target(name).is_some() => {
            syncom_fuzz::write(name, Path::new(folder))
                .map(|(found, kept)| println!("{name}: {kept} of {found} inputs kept"))
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("corpus: {error}");
            ExitCode::FAILURE
        }
    }
}
