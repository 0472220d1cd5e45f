//! One exported function, called with arguments that are words, and its result
//! as text.

use wasmtime::component::{self, Type};
use wasmtime::{Instance, Store, Val, ValType};

use crate::failure::{Failure, NOT_EXECUTABLE, Stop, USAGE};
use crate::state::{Core, Whole};

/// Of a core module: numbers in and out.
pub(crate) async fn of_module(
    store: &mut Store<Core>,
    instance: &Instance,
    name: &str,
    words: &[String],
) -> Result<Option<String>, Stop> {
    let Some(function) = instance.get_func(&mut *store, name) else {
        return Err(Stop::Asked(absent(name)));
    };
    let kind = function.ty(&*store);
    let kinds: Vec<ValType> = kind.params().collect();
    count(name, kinds.len(), words)?;
    let mut arguments = Vec::new();
    for (kind, word) in kinds.iter().zip(words) {
        arguments.push(core_value(kind, word).ok_or_else(|| unfit(word, &kind.to_string()))?);
    }
    let mut results = vec![Val::I32(0); kind.results().len()];
    function
        .call_async(&mut *store, &arguments, &mut results)
        .await?;
    let texts: Vec<String> = results.iter().map(core_text).collect();
    Ok((!texts.is_empty()).then(|| texts.join(" ")))
}

fn core_value(kind: &ValType, word: &str) -> Option<Val> {
    Some(match kind {
        // Either sign: a module does not say which it means.
        ValType::I32 => Val::I32(match word.parse() {
            Ok(number) => number,
            Err(_) => word.parse::<u32>().ok()?.cast_signed(),
        }),
        ValType::I64 => Val::I64(match word.parse() {
            Ok(number) => number,
            Err(_) => word.parse::<u64>().ok()?.cast_signed(),
        }),
        ValType::F32 => Val::F32(word.parse::<f32>().ok()?.to_bits()),
        ValType::F64 => Val::F64(word.parse::<f64>().ok()?.to_bits()),
        _ => return None,
    })
}

fn core_text(value: &Val) -> String {
    match value {
        Val::I32(number) => number.to_string(),
        Val::I64(number) => number.to_string(),
        Val::F32(bits) => f32::from_bits(*bits).to_string(),
        Val::F64(bits) => f64::from_bits(*bits).to_string(),
        other => format!("{other:?}"),
    }
}

/// Of a component: texts, numbers, and what is made of them.
pub(crate) async fn of_component(
    store: &mut Store<Whole>,
    instance: &component::Instance,
    name: &str,
    words: &[String],
) -> Result<Option<String>, Stop> {
    // `interface#function`, where it is one of an interface.
    let index = match name.split_once('#') {
        None => instance.get_export_index(&mut *store, None, name),
        Some((interface, function)) => instance
            .get_export_index(&mut *store, None, interface)
            .and_then(|outer| instance.get_export_index(&mut *store, Some(&outer), function)),
    };
    let function = index.and_then(|index| instance.get_func(&mut *store, index));
    let Some(function) = function else {
        return Err(Stop::Asked(absent(name)));
    };
    let kind = function.ty(&*store);
    let kinds: Vec<(String, Type)> = kind
        .params()
        .map(|(name, kind)| (name.to_owned(), kind))
        .collect();
    count(name, kinds.len(), words)?;
    let mut arguments = Vec::new();
    for ((_, kind), word) in kinds.iter().zip(words) {
        arguments.push(value(kind, word).ok_or_else(|| unfit(word, &format!("{kind:?}")))?);
    }
    let mut results = vec![component::Val::Bool(false); kind.results().len()];
    function
        .call_async(&mut *store, &arguments, &mut results)
        .await?;
    let texts: Vec<String> = results.iter().map(text).collect();
    Ok((!texts.is_empty()).then(|| texts.join(" ")))
}

fn value(kind: &Type, word: &str) -> Option<component::Val> {
    use component::Val;
    Some(match kind {
        Type::Bool => Val::Bool(word.parse().ok()?),
        Type::S8 => Val::S8(word.parse().ok()?),
        Type::U8 => Val::U8(word.parse().ok()?),
        Type::S16 => Val::S16(word.parse().ok()?),
        Type::U16 => Val::U16(word.parse().ok()?),
        Type::S32 => Val::S32(word.parse().ok()?),
        Type::U32 => Val::U32(word.parse().ok()?),
        Type::S64 => Val::S64(word.parse().ok()?),
        Type::U64 => Val::U64(word.parse().ok()?),
        Type::Float32 => Val::Float32(word.parse().ok()?),
        Type::Float64 => Val::Float64(word.parse().ok()?),
        Type::Char => Val::Char(word.parse().ok()?),
        Type::String => Val::String(word.to_owned()),
        Type::Enum(kind) => {
            let known = kind.names().any(|name| name == word);
            known.then(|| Val::Enum(word.to_owned()))?
        }
        Type::Option(kind) => Val::Option(Some(Box::new(value(&kind.ty(), word)?))),
        Type::List(kind) => {
            let parts = word.split(',').filter(|part| !part.is_empty());
            let parts: Option<Vec<_>> = parts.map(|part| value(&kind.ty(), part)).collect();
            Val::List(parts?)
        }
        _ => return None,
    })
}

fn text(value: &component::Val) -> String {
    use component::Val;
    match value {
        Val::Bool(value) => value.to_string(),
        Val::S8(value) => value.to_string(),
        Val::U8(value) => value.to_string(),
        Val::S16(value) => value.to_string(),
        Val::U16(value) => value.to_string(),
        Val::S32(value) => value.to_string(),
        Val::U32(value) => value.to_string(),
        Val::S64(value) => value.to_string(),
        Val::U64(value) => value.to_string(),
        Val::Float32(value) => value.to_string(),
        Val::Float64(value) => value.to_string(),
        Val::Char(value) => value.to_string(),
        Val::String(value) | Val::Enum(value) => value.clone(),
        Val::Option(None) => "none".to_owned(),
        Val::Option(Some(value)) => text(value),
        Val::List(values) | Val::Tuple(values) => {
            values.iter().map(text).collect::<Vec<_>>().join(",")
        }
        Val::Result(Ok(Some(value))) => text(value),
        Val::Result(Ok(None)) => "ok".to_owned(),
        Val::Result(Err(Some(value))) => format!("error: {}", text(value)),
        Val::Result(Err(None)) => "error".to_owned(),
        other => format!("{other:?}"),
    }
}

fn absent(name: &str) -> Failure {
    Failure::new(
        NOT_EXECUTABLE,
        format!("the module exports no function {name}"),
    )
    .hint("ounce weigh shows its exports; of an interface: INTERFACE#FUNCTION")
}

fn count(name: &str, wanted: usize, words: &[String]) -> Result<(), Stop> {
    if words.len() == wanted {
        return Ok(());
    }
    let text = format!("{name} takes {wanted} arguments, {} are given", words.len());
    Err(Stop::Asked(Failure::new(USAGE, text)))
}

fn unfit(word: &str, kind: &str) -> Stop {
    Stop::Asked(Failure::new(
        USAGE,
        format!("{word:?} is no {kind}, or cannot be given by a word"),
    ))
}
