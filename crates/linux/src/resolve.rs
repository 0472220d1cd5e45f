//! openat2(2) as its manual wants it called: again, for as long as the kernel
//! cannot tell that a `..` stayed where it was.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use rustix::path::Arg;

/// So often a path is tried. A mount or a rename anywhere on the machine
/// passes in microseconds, and so does a try.
const MOST_TRIES: u32 = 4096;

/// Opens `path` of `folder`, resolved as `resolve` says.
///
/// Beneath a root, the kernel answers EAGAIN where a `..` of the path, or of a
/// link on the way, was passed while a mount was made or a file renamed
/// anywhere on the machine (man 2 openat2, errors): nothing is wrong then, and
/// the next try tells.
///
/// # Errors
/// As openat2; EAGAIN only if each of thousands of tries met with a change.
pub fn open<P: Arg + Copy>(
    folder: impl AsFd,
    path: P,
    flags: OFlags,
    resolve: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let once = || openat2(&folder, path, flags, Mode::empty(), resolve);
    again(once, MOST_TRIES)
}

/// Does it until it answers other than EAGAIN, at most `tries` times.
fn again<T>(mut once: impl FnMut() -> Result<T, Errno>, tries: u32) -> Result<T, Errno> {
    for _ in 1..tries {
        match once() {
            Err(Errno::AGAIN) => {}
            other => return other,
        }
    }
    once()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_change_elsewhere_disturbed_is_tried_again() {
        let mut answers = [Err(Errno::AGAIN), Err(Errno::AGAIN), Ok(7)].into_iter();
        assert_eq!(again(|| answers.next().unwrap(), 4), Ok(7));
        assert_eq!(answers.next(), None);
    }

    #[test]
    fn other_errors_are_told_at_once_and_the_tries_are_bounded() {
        let mut count = 0;
        let mut fail = |errno: Errno| {
            count += 1;
            Err::<(), _>(errno)
        };
        assert_eq!(again(|| fail(Errno::NOENT), 4), Err(Errno::NOENT));
        assert_eq!(again(|| fail(Errno::AGAIN), 4), Err(Errno::AGAIN));
        assert_eq!(count, 5);
    }

    /// The kernel's answer itself: renames pass while a path with `..` is walked.
    #[test]
    fn paths_are_found_while_files_are_renamed() {
        use std::sync::atomic::{AtomicBool, Ordering};
        use std::{format, fs, process, thread};

        let top = std::env::temp_dir().join(format!("ounce-resolve-{}", process::id()));
        fs::create_dir_all(top.join("a/b")).unwrap();
        fs::write(top.join("0"), "").unwrap();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(top.to_str().unwrap(), flags, Mode::empty()).unwrap();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let renaming = scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    fs::rename(top.join("0"), top.join("1")).unwrap();
                    fs::rename(top.join("1"), top.join("0")).unwrap();
                }
            });
            let found = (0..20_000).try_for_each(|_| {
                let path = "a/b/../../a/../a/b/../b";
                let flags = OFlags::PATH | OFlags::CLOEXEC;
                open(&root, path, flags, ResolveFlags::IN_ROOT).map(drop)
            });
            stop.store(true, Ordering::Relaxed);
            renaming.join().unwrap();
            assert_eq!(found, Ok(()));
        });
        fs::remove_dir_all(top).unwrap();
    }
}
