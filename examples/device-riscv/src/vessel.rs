//! A WebAssembly module as a device's program: what it may reach, and how it ends.
//!
//! A module is a command of WASI preview 1 (`_start`, one memory). Two imports are there: `fd_write` to
//! standard output and standard error, which is the serial line, and `proc_exit`. A module that asks for
//! anything else is not started, one that does not end in so many instructions is stopped.

use core::cell::Cell;
use core::ops::ControlFlow;

use spacewasm::{
    AllocError, CodeBuilder, CompilerOptions, Engine, ExportDesc, HostFunction, HostFunctionBreak,
    HostFunctionResult, HostModule, HostValList, Interpreter, InterpreterResult,
    InterpreterRunner as _, Module, ModuleRef, Rc, Ref, Value, Vec, WasmRef,
};

use crate::heap::{Pages, Pieces};
use crate::line;

/// Instructions of a module's start.
const FUEL: usize = 1_000_000;

/// Words of a module's operand stack.
const STACK: usize = 512;

/// Pages of 512 bytes of what the engine makes of the code.
const CODE_PAGES: usize = 40;

/// Blocks that may stand in each other, and values on the operand stack, while a function is read.
const DEPTH: usize = 48;

/// Most pieces of one write.
const PIECES: u32 = 8;

/// How a module has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It returned.
    Good,
    /// By `proc_exit`, with another code than 0.
    Failed(u32),
    /// It did what cannot be done.
    Trapped,
    /// It did not end in time.
    Fuel,
    /// It is no module that this engine takes, or reaches for what is not there; with the place.
    Refused(u32),
    /// There is not enough memory.
    Memory,
}

impl End {
    /// A word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Failed(_) => "failed",
            Self::Trapped => "trapped",
            Self::Fuel => "out-of-fuel",
            Self::Refused(_) => "refused",
            Self::Memory => "out-of-memory",
        }
    }

    /// What more is known of it.
    pub fn detail(self) -> u32 {
        match self {
            Self::Failed(code) => code,
            Self::Refused(offset) => offset,
            _ => 0,
        }
    }
}

impl From<AllocError> for End {
    fn from(_: AllocError) -> Self {
        Self::Memory
    }
}

/// Writes what the pieces at `place` are to the line.
fn write(engine: &Engine, args: &[Value]) -> Option<u32> {
    const BAD_FILE: u32 = 8;
    const INVALID: u32 = 28;
    let [
        Value::I32(file),
        Value::I32(place),
        Value::I32(count),
        Value::I32(written),
    ] = args
    else {
        return None;
    };
    let (place, count, written) = (*place as u32, *count as u32, *written as u32);
    if !matches!(file, 1 | 2) {
        return Some(BAD_FILE);
    }
    if count > PIECES {
        return Some(INVALID);
    }
    let memory = &engine.memory;
    let mut total = 0u32;
    for at in 0..count {
        let piece = place.checked_add(8 * at)? as usize;
        let address = memory.load_u32(piece).ok()? as usize;
        let length = memory.load_u32(piece.checked_add(4)?).ok()?;
        let bytes = memory.load(address, length as usize).ok()?;
        line::bytes(bytes);
        total = total.checked_add(length)?;
    }
    memory.store_u32(written as usize, total).ok()?;
    Some(0)
}

fn host(exit: &Rc<Cell<Option<u32>>>) -> Result<HostModule, AllocError> {
    let fd_write = HostFunction::new(
        "fd_write",
        HostValList::new("iiii"),
        HostValList::new("i"),
        |engine: &mut Engine, args: &[Value]| -> HostFunctionResult {
            match write(engine, args) {
                Some(code) => ControlFlow::Continue(Some(Value::I32(code as i32))),
                None => ControlFlow::Break(HostFunctionBreak::Trap),
            }
        },
    );
    let exit = exit.clone();
    let proc_exit = HostFunction::new(
        "proc_exit",
        HostValList::new("i"),
        HostValList::new(""),
        move |_: &mut Engine, args: &[Value]| -> HostFunctionResult {
            if let [Value::I32(code)] = args {
                exit.set(Some(*code as u32));
            }
            ControlFlow::Break(HostFunctionBreak::Trap)
        },
    );
    Ok(HostModule {
        name: "wasi_snapshot_preview1".into(),
        globals: Vec::zero(),
        functions: Vec::from_array([fd_write, proc_exit])?,
        memory: Vec::zero(),
        table: Vec::zero(),
    })
}

/// Runs the module that `read` gives piece by piece.
pub fn run(read: &mut dyn FnMut(&mut [u8]) -> usize) -> End {
    match start(read) {
        Ok(end) | Err(end) => end,
    }
}

fn start(read: &mut dyn FnMut(&mut [u8]) -> usize) -> Result<End, End> {
    let exit = Rc::new(Cell::new(None))?;
    let hosts = Vec::from_array([host(&exit)?])?;
    let mut engine = Engine::new(STACK, 1, hosts).map_err(|_| End::Memory)?;
    let mut code = CodeBuilder::new(CompilerOptions {
        allow_memory_grow: true,
        max_backpatch_iterations: Some(1_000),
        max_code_pages: CODE_PAGES,
    })?;
    let begin = load(read, &mut engine, &mut code)?;
    engine.invoke(begin, &[]).map_err(|_| End::Memory)?;
    Ok(match Interpreter.run(code.pages(), &mut engine, FUEL) {
        InterpreterResult::Finished => End::Good,
        InterpreterResult::OutOfFuel => End::Fuel,
        InterpreterResult::Pause => End::Trapped,
        InterpreterResult::Trap(_) => match exit.get() {
            Some(0) => End::Good,
            Some(code) => End::Failed(code),
            None => End::Trapped,
        },
    })
}

/// Reads and validates the module; where it begins. Apart, so that the reader's memory is not there while
/// the module runs.
#[inline(never)]
fn load(
    read: &mut dyn FnMut(&mut [u8]) -> usize,
    engine: &mut Engine,
    code: &mut CodeBuilder,
) -> Result<WasmRef, End> {
    let pages = Rc::new(Pages)?.into_wasm_memory_allocator();
    let mut pieces = Pieces::new(read);
    let module = Module::new::<DEPTH, DEPTH>("", &mut pieces, &mut engine.store, code, pages)
        .map_err(|error| End::Refused(error.offset))?;
    let begin = module.exports.iter().find_map(|export| match export.desc {
        ExportDesc::Func(index) if &*export.name == "_start" => module.get_func_ref(index),
        _ => None,
    });
    // A start function of the module's own would run unbounded by what calls it: it is not asked for.
    let (Some(Ref::Module(index)), None) = (begin, module.start) else {
        return Err(End::Refused(0));
    };
    let module: ModuleRef = engine.push_module(module)?;
    Ok(WasmRef { module, index })
}
