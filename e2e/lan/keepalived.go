package lan

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// Keepalived is keepalived on a host, with the file keepalived.conf of Dir, which belongs
// to it alone.
type Keepalived struct {
	LAN       *LAN
	Host      string
	Dir       string
	Addresses []netip.Addr // that its config sets

	process *Process
}

// Start runs it unless it runs. It removes what a killed one left: the addresses, as an
// operator has to, and the files by which it takes a process for alive that was killed
// and not yet waited for.
func (k *Keepalived) Start() (err error) {
	if k.Running() {
		return nil
	}
	for _, address := range k.Addresses {
		if k.LAN.Holds(k.Host, address) {
			if err := k.LAN.Remove(k.Host, address); err != nil {
				return err
			}
		}
	}
	pid, child := filepath.Join(k.Dir, "pid"), filepath.Join(k.Dir, "vrrp.pid")
	os.Remove(pid)
	os.Remove(child)
	k.process, err = k.LAN.Start(k.Host, k.Dir, "keepalived", "-n", "-l", "-D", "-P",
		"-f", filepath.Join(k.Dir, "keepalived.conf"), "-p", pid, "-r", child)
	return err
}

// Running tells whether it was started and has not ended.
func (k *Keepalived) Running() bool { return k.process != nil && k.process.Running() }

// Stop ends it in the way that an operator does.
func (k *Keepalived) Stop() error { return k.process.Stop() }

// Kill ends it without a chance to do anything; it need not run.
func (k *Keepalived) Kill() {
	if k.Running() {
		k.process.Kill()
	}
}

// Freeze stops it where it is.
func (k *Keepalived) Freeze() { k.process.Freeze() }

// Thaw lets it go on.
func (k *Keepalived) Thaw() { k.process.Thaw() }

// Output is its log.
func (k *Keepalived) Output() string {
	if k.process == nil {
		return ""
	}
	return k.process.Output()
}

// State is master, backup or fault by the last transition in the log, "" before the first.
func (k *Keepalived) State() string {
	log := k.Output()
	at := strings.LastIndex(log, "Entering ")
	if at < 0 {
		return ""
	}
	state, _, _ := strings.Cut(log[at+len("Entering "):], " STATE")
	return strings.ToLower(state)
}
