//! `ounce build --stage all`: each stage of one source, beside the others.

use std::process::ExitCode;

use ounce_build::{Built, Request};
use ounce_oci::{ByteSize, Place, Reference};
use serde::Serialize;

use super::supply::Supply;
use super::{Context, Document, Planned, document, make, over_budget, plan};
use crate::arguments::BuildArguments;
use crate::failure::{Failure, Kind};
use crate::render::table::{Align, Table};
use crate::render::weigh::TARGET_BYTES;

#[derive(Serialize)]
struct Stages<'a> {
    schema: &'static str,
    stages: Vec<Stage<'a>>,
}

#[derive(Serialize)]
struct Stage<'a> {
    stage: String,
    base: String,
    below_target: bool,
    #[serde(flatten)]
    built: Document<'a>,
}

/// Builds each stage; they share what is compiled, as long as they ask for the
/// same. The first that is over its budget is the answer, after all are built.
pub(super) fn run(
    context: &Context,
    arguments: &BuildArguments,
    request: &Request,
) -> Result<ExitCode, Failure> {
    let output = context.output;
    if !matches!(&arguments.output, None | Some(Place::OciDir(..))) {
        return Err(
            Failure::new(Kind::Usage, "--output with --stage all wants oci:DIR")
                .hint("a layout holds several images; push each by its name after that"),
        );
    }
    if arguments.check {
        return Err(
            Failure::new(Kind::Usage, "--check wants one stage").hint("--stage NAME --check")
        );
    }
    let names = ounce_build::stages(request)?;
    if names.is_empty() {
        return Err(Failure::new(Kind::Usage, "ounce.toml has no stages").hint(
            "add [stage.dev] with base = \"debian-slim\", [stage.prod] with base = \"scratch\"",
        ));
    }
    let mut recipes = Vec::new();
    for name in names {
        let mut request = request.clone();
        if let Some(reference) = &mut request.reference {
            *reference = tagged(reference, &name);
        }
        request.stage = Some(name.clone());
        let recipe = plan(output, &request)?;
        recipes.push((name, request, recipe));
    }
    if arguments.dry_run {
        let planned: Vec<Planned<'_>> = recipes
            .iter()
            .map(|(.., recipe)| Planned {
                schema: "ounce.recipe/1",
                recipe,
            })
            .collect();
        output.document(&planned)?;
        return Ok(ExitCode::SUCCESS);
    }
    let store = context.store()?;
    let mut built = Vec::new();
    for (name, request, recipe) in recipes {
        output.note(&format!("stage {name}, on {}", recipe.base));
        let supply = Supply::new(context, &arguments.supply, &recipe)?;
        let one = make(output, &recipe, &store)?;
        supply.attach(&store, &request, &recipe, &one)?;
        if let Some(Place::OciDir(folder, _)) = &arguments.output {
            let place = Place::OciDir(folder.clone(), Some(name.clone()));
            place.export(&store, &one.reference)?;
        }
        built.push((name, recipe.base.to_string(), one));
    }
    for (.., one) in &built {
        over_budget(one, &store)?;
    }
    match output.json {
        true => output.document(&Stages {
            schema: "ounce.stages/1",
            stages: built
                .iter()
                .map(|(stage, base, one)| Stage {
                    stage: stage.clone(),
                    base: base.clone(),
                    below_target: heaviest(one) < TARGET_BYTES,
                    built: document(one),
                })
                .collect(),
        })?,
        false => output.text(&text(&built, output.color))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// `NAME:TAG` of a stage: its name, after a tag that was asked for.
fn tagged(reference: &Reference, stage: &str) -> Reference {
    let tag = match reference.tag.as_deref() {
        None | Some("latest") => stage.to_owned(),
        Some(tag) => format!("{tag}-{stage}"),
    };
    Reference {
        tag: Some(tag),
        ..reference.clone()
    }
}

fn heaviest(built: &Built) -> u64 {
    let bytes = built.images.iter().map(|image| image.pulled_bytes);
    bytes.max().unwrap_or(0)
}

fn text(built: &[(String, String, Built)], color: bool) -> String {
    let mut table = Table::new(&[
        ("IMAGE", Align::Left),
        ("BASE", Align::Left),
        ("PLATFORM", Align::Left),
        ("PROGRAM", Align::Right),
        ("OWN LAYER", Align::Right),
        ("PULLED", Align::Right),
        ("< 1 MB", Align::Left),
    ]);
    for (_, base, one) in built {
        for image in &one.images {
            let below = image.pulled_bytes < TARGET_BYTES;
            table.row([
                one.reference.to_string(),
                base.clone(),
                image.platform.to_string(),
                ByteSize(image.program_bytes).to_string(),
                ByteSize(image.layer_bytes).to_string(),
                ByteSize(image.pulled_bytes).to_string(),
                if below { "yes" } else { "no" }.to_owned(),
            ]);
        }
    }
    table.text(color)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_the_tag_or_comes_after_it() {
        let name = |text: &str| tagged(&text.parse().unwrap(), "prod").to_string();
        assert_eq!(name("app"), "app:prod");
        assert_eq!(name("app:1.2"), "app:1.2-prod");
    }
}
