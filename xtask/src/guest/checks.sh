# Runs inside the guest, whose kernel offers control groups of version 2 only.
# Each line `check NAME: VALUE` is compared with what is expected outside.
export PATH=/bin HOME=/root
groups=/sys/fs/cgroup
chmod 1777 /tmp
chown -R 1000:1000 /home/user
ip link set lo up

say() { echo "check $1: $2"; }
await() { for i in $(seq 100); do wget -qO- http://127.0.0.1:$1/healthz 2>/dev/null && return; sleep 0.1; done; }
# Limits and processes of the group that ounce made beneath $1.
limits() {
    for group in $(find $1 -type d -name 'ounce-*'); do
        say "$2 memory" "$(cat $group/memory.max)"
        say "$2 processes" "$(cat $group/pids.max)"
        say "$2 processor" "$(cat $group/cpu.max)"
        say "$2 members" "$(wc -l < $group/cgroup.procs)"
    done
}
left() { find $1 -type d -name 'ounce-*' | wc -l; }

say kernel "$(uname -r)"
ounce build /public -t site >/dev/null || say build failed
ounce build /bin/busybox -t tools >/dev/null || say build failed

ounce run -p 8080 --memory 64MiB --pids 50 --cpus 0.5 site &
own=$!
say "root answer" "$(await 8080)"
limits $groups root
kill $own
wait $own
say "root left" "$(left $groups)"

ounce run --memory 8MiB tools -- dd if=/dev/zero of=/dev/null bs=64M count=1 2>/dev/null
say "root memory over" $?
ounce run --pids 4 tools -- sh -c 'for i in 1 2 3 4 5 6 7 8; do (while :; do :; done) & done' 2>/dev/null
say "root processes over" $?
say "root left at the end" "$(left $groups)"

cat > /tmp/plain.sh <<'X'
export HOME=/home/user
ounce build /public -t site >/dev/null || echo "check build: failed"
ounce run -p 8081 site &
own=$!
echo "check plain answer: $(for i in $(seq 100); do wget -qO- http://127.0.0.1:8081/healthz 2>/dev/null && break; sleep 0.1; done)"
kill $own
wait $own
ounce run --memory 32MiB site 2>/tmp/plain.error
echo "check plain refused: $?"
echo "check plain hint: $(grep -c Delegate=yes /tmp/plain.error)"
X
su user -c 'sh /tmp/plain.sh'

# What a service manager hands to a user: a group, its controllers and its parent.
mkdir -p $groups/user/session
echo "+memory +pids +cpu" > $groups/cgroup.subtree_control
echo "+memory +pids +cpu" > $groups/user/cgroup.subtree_control
chown -R 1000:1000 $groups/user
cat > /tmp/delegated.sh <<'X'
echo $$ > /sys/fs/cgroup/user/session/cgroup.procs
exec su user -c 'HOME=/home/user exec ounce run -p 8082 --memory 32MiB --pids 40 --cpus 0.25 site'
X
sh /tmp/delegated.sh &
own=$!
say "delegated answer" "$(await 8082)"
limits $groups/user delegated
kill $own
wait $own
say "delegated left" "$(left $groups)"

# A clock that jumps: this machine's may be set as often as anybody likes. What waits
# for its time waits neither for ever nor not at all.
year=31536000
jump() { date -s "@$(($(date +%s) + $1))" >/dev/null; }
# Whether a line comes to be in a file.
comes() { for i in $(seq 600); do grep -q "$1" "$2" && echo yes && return; sleep 0.1; done; echo no; }
# Who is connected is told by a part of the kernel that this one has as modules.
for module in inet_diag tcp_diag; do [ ! -e /lib/$module.ko ] || insmod /lib/$module.ko; done
ounce serve --idle 4s -p 8083 site 2>/tmp/short >&2 &
own=$!
say "idle answer" "$(await 8083)"
jump -$year
say "idle back" "$(comes 'stopping: idle' /tmp/short)"
jump $year
say "idle answer again" "$(await 8083)"
kill $own
wait $own
ounce serve --idle 10m -p 8084 site 2>/tmp/long >&2 &
own=$!
say "idle long answer" "$(await 8084)"
jump $year
sleep 3
say "idle ahead" "$(grep -c 'stopping: idle' /tmp/long)"
kill $own
wait $own
# Each failure doubles the pause before the next start.
ounce run -d --name fails --restart on-failure:4 tools -- sh -c 'echo start; exit 9' >/dev/null
jump -$year
ounce wait fails >/tmp/fails
say "back restarts" "$(cat /tmp/fails) $(ounce logs fails | grep -c start)"
ounce run -d --name deaf tools -- sh -c 'trap "" TERM; echo deaf; while :; do sleep 1; done' >/dev/null
for i in $(seq 100); do ounce logs deaf | grep -q deaf && break; sleep 0.1; done
(sleep 1; jump -$year) &
ounce stop -t 3 deaf >/dev/null
say "back stop" "$(ounce wait deaf)"
ounce rm fails deaf >/dev/null
say mounts "$(grep -c ounce /proc/mounts)"
say end reached
poweroff -f
