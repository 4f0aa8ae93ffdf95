#!/bin/bash
# Installs, upgrades, removes and purges the package on a fresh Debian that has booted in a container, and looks at what the daemon may
# do there. `cargo xtask test --package` runs it; arguments: the older package, the newer one.
set -u
older=$1 newer=$2 failed=0 passed=0
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

check() { # what, command..
    local what=$1
    shift
    if "$@" >/tmp/said 2>&1; then
        passed=$((passed + 1))
        echo "ok    $what"
    else
        failed=$((failed + 1))
        echo "FAIL  $what: $*"
        sed 's/^/      /' /tmp/said | tail -20
    fi
}
no() { ! "$@"; }
is() { [ "$1" = "$2" ] || { echo "$1, not $2"; false; }; }
eventually() { for _ in $(seq 50); do "$@" && return; sleep 0.1; done; "$@"; }
install() { apt-get -q -y -o Dpkg::Use-Pty=0 "${@:2}" install "$1"; }
pid() { systemctl show -P MainPID floodwall; }
field() { awk -v name="$1:" '$1 == name { print $2 }' "/proc/$(pid)/status"; }
program() { ip -d link show eth0 | sed -n 's/.*prog\/xdp id \([0-9]*\).*/\1/p'; }
scrape() { exec 3<>/dev/tcp/127.0.0.1/9980 && printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3 && cat <&3; }
total() { scrape | awk -v want="$1" '/^floodwall_packets_total/ && $0 ~ want { sum += $2 } END { print sum + 0 }'; }
mode() { floodwall status --json | grep -o '"mode": *"[a-z]*"' | head -1 | grep -o '[a-z]*"$' | tr -d '"'; }
leftovers() { find / -xdev \( -path /proc -o -path /sys -o -path /tmp -o -path /root \) -prune -o -iname '*floodwall*' -print |
    grep -v -e '^/var/log/' -e '^/var/lib/systemd/timers' -e '^/run/systemd/'; }

# A client on a wire of its own, which also is the gateway.
ip netns add client
ip link add eth0 type veth peer name wire
ip link set wire netns client
ip address add 192.31.196.2/24 dev eth0
ip -n client address add 192.31.196.1/24 dev wire
ip -n client address add 10.9.9.9/32 dev wire
ip link set eth0 up
ip -n client link set wire up
ip route add default via 192.31.196.1
echo nameserver 192.31.196.1 >/etc/resolv.conf
bpffs=$(ls /sys/fs/bpf)
client() { ip netns exec client "$@"; }
until client ping -q -c 1 -W 1 192.31.196.2 >/dev/null; do :; done

echo "== a fresh installation"
check "apt installs it" install "$older"
check "the daemon runs" eventually systemctl is-active floodwall
[ "$failed" = 0 ] || { journalctl --no-pager -u floodwall; exit 1; } # nothing below could work
check "it starts at boot" systemctl is-enabled floodwall
check "the configuration was made for this host" grep -q 'name = "eth0"' /etc/floodwall/floodwall.toml
check "it is valid" floodwall config check
check "the configuration is root's" is "$(stat -c %a:%U /etc/floodwall/floodwall.toml)" 640:root
check "it observes" is "$(mode)" observe
check "XDP is attached" test -n "$(program)"
check "honest packets pass" client ping -q -c 3 -i 0.2 -W 1 192.31.196.2
client ping -q -c 5 -i 0.2 -W 1 -I 10.9.9.9 192.31.196.2 >/dev/null 2>&1
check "packets with a bogon source pass, too" is "$(total 'verdict="drop"')" 0
check "and are counted as what they would be" test "$(total 'reason="bogon"')" -ge 5
boards=$(mktemp -d)
check "it writes dashboards and alert rules" floodwall support dashboards --out "$boards"
for kind in grafana prometheus; do
    check "the package has the same for $kind" diff -r "$boards/$kind" "/usr/share/floodwall/$kind"
done
check "four dashboards, what provisions them, rules" is "$(cd /usr/share/floodwall && find grafana prometheus -type f -perm 644 | wc -l)" \
    "$(find "$boards" -type f | wc -l)"
check "one of them is the overview" grep -q '"uid": "floodwall-overview"' /usr/share/floodwall/grafana/dashboards/floodwall-overview.json
rm -r "$boards"
check "the log has no errors" no grep -qE 'ERROR|WARN' <(journalctl -u floodwall --no-pager)

echo "== the sandbox"
check "exactly CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF" is "$(field CapEff)" 000000c000001000
check "no others can be had" is "$(field CapBnd)" 000000c000001000
check "no new privileges" is "$(field NoNewPrivs)" 1
check "seccomp filters" is "$(field Seccomp)" 2
in_unit() { nsenter --target "$(pid)" --mount "$@"; }
check "the system is read-only for it" no in_unit touch /usr/x /etc/x /var/x
check "sysctls, too" no in_unit sh -c 'echo 1 > /proc/sys/net/ipv4/tcp_sack'
check "pins can be made" in_unit mkdir /sys/fs/bpf/x
rmdir /sys/fs/bpf/x
check "systemd-analyze verify" systemd-analyze verify --man=no floodwall.service
echo "      $(systemd-analyze security --no-pager floodwall.service | tail -1)"
check "exposure below 3" systemd-analyze security --no-pager --threshold=30 floodwall.service

echo "== an operator"
check "reload with a bad file fails" no sh -c 'cp -p /etc/floodwall/floodwall.toml /tmp/good && echo x = >> /etc/floodwall/floodwall.toml && systemctl reload floodwall'
check "and the daemon goes on" systemctl is-active floodwall
cp -p /tmp/good /etc/floodwall/floodwall.toml
sed -i 's/^mode = "observe".*/mode = "enforce"/' /etc/floodwall/floodwall.toml
check "reload enforces" systemctl reload floodwall
check "it is in force" is "$(mode)" enforce
check "the runtime folder stays the group's" is "$(stat -c %a:%U:%G /run/floodwall)" 750:root:floodwall
client ping -q -c 5 -i 0.2 -W 1 -I 10.9.9.9 192.31.196.2 >/dev/null 2>&1
check "bogons are dropped" test "$(total 'reason="bogon".*verdict="drop"')" -ge 5
check "apply --confirm" floodwall apply --confirm 1m
check "confirm or nothing to confirm" sh -c 'floodwall confirm || [ $? = 1 ]'
check "a ban" floodwall ban add 9.9.9.9 --ttl 1h
check "explain works beside the daemon" sh -c 'floodwall explain --src 9.9.9.9 --dport 80 | grep -q banned'
check "a restart" systemctl restart floodwall
check "the group has the socket" is "$(stat -c %a:%U:%G /run/floodwall/floodwall.sock)" 660:root:floodwall
useradd --no-create-home --groups floodwall watcher
useradd --no-create-home stranger
check "its members may look" su -s /bin/sh -c 'floodwall status' watcher
check "others may not" no su -s /bin/sh -c 'floodwall status' stranger
userdel watcher
userdel stranger
was=$(program)
kill -KILL "$(pid)"
check "a killed daemon comes back" eventually sh -c 'systemctl is-active floodwall && floodwall status --json | grep -q uptime'
check "with the same program" is "$(program)" "$was"
check "panic" floodwall panic
check "keeps it off over a restart" no systemctl restart floodwall
check "nothing is attached" is "$(program)" ""
check "panic --end" floodwall panic --end
check "and a start" systemctl start floodwall
check "attach it again" test -n "$(program)"
bare=$(mktemp -d)
mkdir -p "$bare/sys/fs/bpf"
cp /usr/sbin/floodwall-panic "$bare"
mount --bind /sys/fs/bpf "$bare/sys/fs/bpf"
check "floodwall-panic sees it where no library is" sh -c "chroot $bare /floodwall-panic -n | grep -q 'would detach.*eth0'"
umount "$bare/sys/fs/bpf"
rm -r "$bare"

echo "== an upgrade"
floodwall ban add 9.9.9.9 --ttl 1h >/dev/null # panic has ended the one before
client ping -q -c 5 -i 0.2 -W 1 192.31.196.2 >/dev/null
was=$(program) counted=$(total 'verdict="pass"') sum=$(sha256sum </etc/floodwall/floodwall.toml) old_pid=$(pid)
client ping -q -i 0.05 -c 400 192.31.196.2 >/tmp/pings &
check "apt upgrades it" install "$newer"
check "the new daemon runs" eventually systemctl is-active floodwall
check "it is another process" no is "$(pid)" "$old_pid"
wait
check "no ping was lost" grep -q ' 0% packet loss' /tmp/pings
check "the program stayed attached" is "$(program)" "$was"
check "the counters went on" test "$(total 'verdict="pass"')" -ge "$counted"
check "the ban is still there" sh -c 'floodwall ban list | grep -q 9.9.9.9'
check "the configuration is untouched" is "$(sha256sum </etc/floodwall/floodwall.toml)" "$sum"
check "files are as packed" dpkg --verify floodwall
check "the manual is there" test -s /usr/share/man/man1/floodwall-panic.1.gz -o ! -e /usr/share/man/man1
check "a stop leaves the filter" sh -c 'systemctl stop floodwall && ip -d link show eth0 | grep -q xdp'
check "the same version once more" install "$newer" --reinstall

echo "== removed"
check "apt removes it" apt-get -q -y remove floodwall
check "the filter is off" is "$(program)" ""
check "no pins" is "$(ls /sys/fs/bpf)" "$bpffs"
check "no daemon" no pgrep -x floodwall
check "no program, no unit" no ls /usr/sbin/floodwall /usr/sbin/floodwall-panic /usr/lib/systemd/system/floodwall.service
check "the configuration is kept" is "$(sha256sum </etc/floodwall/floodwall.toml)" "$sum"
check "the state is kept" test -d /var/lib/floodwall
check "the runtime folder is not" no test -e /run/floodwall
check "installed again" install "$newer"
check "it runs by the old configuration" eventually sh -c 'systemctl is-active floodwall && floodwall status --json | grep -q enforce'

echo "== purged"
check "apt purges it" apt-get -q -y purge floodwall
check "the filter is off" is "$(program)" ""
check "no pins" is "$(ls /sys/fs/bpf)" "$bpffs"
check "nothing is left" is "$(leftovers)" ""
check "no group" no getent group floodwall
check "no unit" no systemctl cat floodwall
check "no failed unit" is "$(systemctl --failed --plain --no-legend)" ""

echo "== a host that has no uplink yet"
ip route delete default
check "apt installs it" install "$newer"
check "no configuration" no test -e /etc/floodwall/floodwall.toml
check "the unit is skipped, not failed" is "$(systemctl is-failed floodwall)" inactive
check "purged again" apt-get -q -y purge floodwall
check "nothing is left" is "$(leftovers)" ""

echo "package: $passed passed, $failed failed"
[ "$failed" = 0 ]
