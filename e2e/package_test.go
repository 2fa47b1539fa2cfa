package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestPackage builds the .deb, installs it on a booted Debian made by debootstrap, uses
// it as an operator does, upgrades, removes and purges it.
func TestPackage(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: boots a Debian in a container")
	}
	deb := buildPackage(t)
	m := bootDebian(t)
	m.put(deb, "/root/stack.deb")

	// What follows stands on the installed service.
	if !t.Run("install starts the service", func(t *testing.T) {
		out := m.sh(t, "dpkg -i /root/stack.deb 2>&1")
		for _, complaint := range []string{"error", "warning", "failed"} {
			if strings.Contains(strings.ToLower(out), complaint) {
				t.Errorf("dpkg complains:\n%s", out)
			}
		}
		m.sh(t, "systemctl is-active stack && systemctl is-enabled stack")
		if page := m.sh(t, "stack status --json"); !strings.Contains(page, `"ready": true`) {
			t.Errorf("status: %s", page)
		}
		if page := m.get(t, "80"); !strings.Contains(page, "200 OK") || !strings.Contains(page, "stack is running") {
			t.Errorf("the welcome page: %s", page)
		}
		if text := m.sh(t, "systemctl show -p StatusText --value stack"); strings.TrimSpace(text) == "" {
			t.Error("systemd was told no status")
		}
	}) {
		return
	}
	t.Run("processes are unprivileged", func(t *testing.T) {
		out := m.sh(t, `for p in $(pgrep -u stack); do grep -E '^(Uid|CapEff|NoNewPrivs):' /proc/$p/status; done; id -u stack`)
		if strings.Contains(out, "Uid:\t0") || !strings.Contains(out, "NoNewPrivs:\t1") {
			t.Errorf("%s", out)
		}
		if strings.Count(out, "CapEff:\t0000000000000000") < 1 {
			t.Errorf("the web child holds capabilities:\n%s", out)
		}
	})
	t.Run("reload takes a new file and refuses a broken one", func(t *testing.T) {
		m.sh(t, `mkdir -p /srv/www && echo hello-site >/srv/www/index.html && printf 'web:\n  bind: [":80"]\n  sites: [{root: /srv/www}]\n' >/etc/stack/stack.yaml && stack check && systemctl reload stack`)
		if page := m.get(t, "80"); !strings.Contains(page, "hello-site") {
			t.Errorf("after the reload: %s", page)
		}
		out, err := m.try(`printf 'web:\n  bindd: [":80"]\n' >/etc/stack/stack.yaml; systemctl reload stack`)
		if err == nil {
			t.Errorf("systemctl reload accepted a broken file: %s", out)
		}
		if page := m.get(t, "80"); !strings.Contains(page, "hello-site") {
			t.Errorf("after the refused reload: %s", page)
		}
		m.sh(t, `printf 'web:\n  bind: [":80"]\n  sites: [{root: /srv/www}]\n' >/etc/stack/stack.yaml`)
	})
	t.Run("installing again hands over in place and keeps the config", func(t *testing.T) {
		before := m.sh(t, "systemctl show -p MainPID --value stack")
		m.sh(t, "dpkg -i --force-confold /root/stack.deb 2>&1")
		if after := m.sh(t, "systemctl show -p MainPID --value stack"); after != before {
			t.Errorf("MainPID was %s, is %s: the service was restarted", before, after)
		}
		if page := m.get(t, "80"); !strings.Contains(page, "hello-site") {
			t.Errorf("after the upgrade: %s", page)
		}
	})
	t.Run("the journal has fields", func(t *testing.T) {
		if out := m.sh(t, "journalctl -u stack -o json --no-pager | head -50"); !strings.Contains(out, `"ROLE"`) && !strings.Contains(out, `"STACK_ROLE"`) {
			t.Errorf("no field names the role:\n%s", out)
		}
	})
	t.Run("remove keeps config and data, purge takes the config", func(t *testing.T) {
		m.sh(t, "dpkg -r stack 2>&1; ! systemctl is-active stack; test -f /etc/stack/stack.yaml; test -d /var/lib/stack; ! test -e /usr/bin/stack; ! pgrep -x stack")
		m.sh(t, "echo data >/var/lib/stack/keep; dpkg -P stack 2>&1; ! test -e /etc/stack/stack.yaml; test -f /var/lib/stack/keep")
		if out := m.sh(t, "systemctl --failed --no-legend"); strings.TrimSpace(out) != "" {
			t.Errorf("failed units are left: %s", out)
		}
	})
}

func buildPackage(t *testing.T) string {
	t.Helper()
	build := exec.Command("make", "-s", "-C", "..", "package")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("make package: %v\n%s", err, out)
	}
	found, err := filepath.Glob("../dist/stack_*_amd64.deb")
	if err != nil || len(found) == 0 {
		t.Fatalf("make package left no .deb (%v)", err)
	}
	newest, when := "", time.Time{}
	for _, file := range found {
		if st, err := os.Stat(file); err == nil && st.ModTime().After(when) {
			newest, when = file, st.ModTime()
		}
	}
	return newest
}

// machine is a booted container.
type machine struct {
	root string
	pid  int
}

// debianRoot makes a minimal Debian with systemd once; later runs find it in the user's
// cache directory. It comes from the mirror that this machine itself is set up with.
func debianRoot(t *testing.T) string {
	t.Helper()
	for _, program := range []string{"debootstrap", "systemd-nspawn"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("needs %s: make tools", program)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(cache, "stack-test", "bookworm-root")
	if _, err := os.Stat(root); err == nil {
		return root
	}
	mirror, err := exec.Command("sh", "-c", `apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' | awk '$2 == "bookworm" {print $1; exit}'`).Output()
	if err != nil || len(mirror) == 0 {
		t.Fatalf("find the mirror of this machine: %v", err)
	}
	part := root + ".part"
	os.RemoveAll(part)
	if err := os.MkdirAll(filepath.Dir(root), 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("debootstrap", "--variant=minbase",
		"--include=systemd,systemd-sysv,dbus,nftables,iproute2,procps,kmod,udev,ca-certificates,netbase,libnss-myhostname",
		"bookworm", part, strings.TrimSpace(string(mirror))).CombinedOutput()
	if err != nil {
		t.Fatalf("debootstrap: %v\n%s", err, out[max(0, len(out)-2000):])
	}
	// Without a locale systemd ends "degraded".
	if err := os.WriteFile(filepath.Join(part, "etc/default/locale"), []byte("LANG=C.UTF-8\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(part, root); err != nil {
		t.Fatal(err)
	}
	return root
}

// bootDebian boots systemd in a network namespace of its own, on an overlay that is
// thrown away.
func bootDebian(t *testing.T) *machine {
	t.Helper()
	base := debianRoot(t)
	name := fmt.Sprintf("stackpkg%d", os.Getpid())
	dir := t.TempDir()
	sys := func(command string, args ...string) {
		t.Helper()
		if out, err := exec.Command(command, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %s: %v\n%s", command, strings.Join(args, " "), err, out)
		}
	}
	// The overlay's own layers may not lie on an overlay: a tmpfs holds them.
	sys("mount", "-t", "tmpfs", "tmpfs", dir)
	t.Cleanup(func() { exec.Command("umount", "-l", dir).Run() })
	m := &machine{root: filepath.Join(dir, "root")}
	for _, sub := range []string{"root", "up", "work"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	sys("mount", "-t", "overlay", "overlay", "-o", fmt.Sprintf("lowerdir=%s,upperdir=%s/up,workdir=%s/work", base, dir, dir), m.root)
	t.Cleanup(func() { exec.Command("umount", "-l", m.root).Run() })
	sys("ip", "netns", "add", name)
	t.Cleanup(func() { exec.Command("ip", "netns", "del", name).Run() })
	sys("ip", "-n", name, "link", "set", "lo", "up")

	// A cgroup of its own, entered before nspawn starts, in both hierarchies.
	script := `for h in unified systemd; do [ -d /sys/fs/cgroup/$h ] && mkdir -p /sys/fs/cgroup/$h/` + name + ` && echo $$ >/sys/fs/cgroup/$h/` + name + `/cgroup.procs; done
exec systemd-nspawn -q -D ` + m.root + ` --machine=` + name + ` --network-namespace-path=/run/netns/` + name + ` --register=no --keep-unit --console=passive --capability=CAP_NET_ADMIN,CAP_NET_RAW --boot`
	boot := exec.Command("sh", "-c", script)
	boot.Env = append(os.Environ(), "SYSTEMD_NSPAWN_API_VFS_WRITABLE=network", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1")
	log := &output{}
	boot.Stdout, boot.Stderr = log, log
	if err := boot.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { boot.Wait(); close(ended) }()
	t.Cleanup(func() {
		boot.Process.Signal(os.Interrupt)
		boot.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("boot log:\n%s", log.tail(4000))
		}
	})
	// What the shell and nspawn start before the init are children too, for longer where the disk is slow.
	await(t, "the container has an init", time.Minute, func() bool {
		out, err := exec.Command("pgrep", "-x", "-P", fmt.Sprint(boot.Process.Pid), "systemd").Output()
		if err != nil {
			return false
		}
		_, err = fmt.Sscan(string(out), &m.pid)
		return err == nil
	})
	// The files of a new root are still being written to disk meanwhile.
	await(t, "systemd is running", 3*time.Minute, func() bool {
		out, _ := m.try("timeout 5 systemctl is-system-running")
		return strings.HasPrefix(out, "running") || strings.HasPrefix(out, "degraded")
	})
	return m
}

// try runs a shell command inside.
func (m *machine) try(command string) (string, error) {
	c := exec.Command("timeout", "120", "nsenter", "-t", fmt.Sprint(m.pid), "-m", "-u", "-i", "-n", "-p", "-C",
		"/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "sh", "-c", command)
	out, err := c.CombinedOutput()
	return string(out), err
}

// sh runs a shell command inside that has to succeed.
func (m *machine) sh(t *testing.T, command string) string {
	t.Helper()
	out, err := m.try("set -e\n" + command)
	var exit *exec.ExitError
	if errors.As(err, &exit) || err != nil {
		journal, _ := m.try("journalctl -u stack --no-pager | tail -30")
		t.Fatalf("%s: %v\n%s\njournal:\n%s", command, err, out, journal)
	}
	return out
}

// get asks for / on a local port with what a minimal Debian has: bash and /dev/tcp.
func (m *machine) get(t *testing.T, port string) string {
	t.Helper()
	return m.sh(t, `bash -c 'exec 3<>/dev/tcp/127.0.0.1/`+port+`; printf "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" >&3; cat <&3'`)
}

func (m *machine) put(file, to string) {
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(filepath.Join(m.root, to), text, 0o644)
	}
	if err != nil {
		panic(err)
	}
}
