//! A small HTTP service in Zig: the time, in seconds since 1970, and how many
//! have asked. It calls Linux itself, so that Zig 0.14 to the newest compile it.
//!
//!     ounce build examples/zig-time --platform linux/amd64,linux/arm64,linux/arm/v6

const std = @import("std");
const linux = std.os.linux;

/// A call's result, or the end of the program: there is nobody to tell.
fn good(result: usize) usize {
    if (result > std.math.maxInt(usize) - 4096) linux.exit(1);
    return result;
}

fn number(buffer: []u8, value: u64) []const u8 {
    var at = buffer.len;
    var rest = value;
    while (true) {
        at -= 1;
        buffer[at] = '0' + @as(u8, @intCast(rest % 10));
        rest /= 10;
        if (rest == 0) return buffer[at..];
    }
}

fn send(socket: i32, text: []const u8) void {
    // MSG_NOSIGNAL: who went away is no reason to end.
    _ = linux.sendto(socket, text.ptr, text.len, 0x4000, null, 0);
}

pub fn main() void {
    const listener: i32 = @intCast(good(linux.socket(linux.AF.INET, linux.SOCK.STREAM, 0)));
    const on: u32 = 1;
    _ = linux.setsockopt(listener, linux.SOL.SOCKET, linux.SO.REUSEADDR, @ptrCast(&on), 4);
    const address = linux.sockaddr.in{ .port = std.mem.nativeToBig(u16, 8080), .addr = 0 };
    _ = good(linux.bind(listener, @ptrCast(&address), @sizeOf(linux.sockaddr.in)));
    _ = good(linux.listen(listener, 128));
    var asked: u64 = 0;
    while (true) {
        const accepted = linux.accept4(listener, null, null, 0);
        if (accepted > std.math.maxInt(usize) - 4096) continue;
        const socket: i32 = @intCast(accepted);
        defer _ = linux.close(socket);
        var head: [2048]u8 = undefined;
        // A head that does not come whole in its first packet is answered all the same.
        if (linux.read(socket, &head, head.len) == 0) continue;
        asked += 1;
        var now: linux.timespec = undefined;
        _ = linux.clock_gettime(.REALTIME, &now);
        var buffers: [2][20]u8 = undefined;
        const seconds = number(&buffers[0], @intCast(now.sec));
        const count = number(&buffers[1], asked);
        send(socket, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n");
        send(socket, seconds);
        send(socket, " ");
        send(socket, count);
        send(socket, "\n");
    }
}
