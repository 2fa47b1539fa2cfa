package firewall

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
)

// Warnings names other firewalls that are active on the machine and what they do to
// this one, a sentence each. root is "/" but in tests.
func Warnings(root string) []string {
	var out []string
	if ufwEnabled(filepath.Join(root, "etc/ufw/ufw.conf")) {
		out = append(out, "ufw is enabled: a packet must pass both firewalls, so a port that stack opens stays closed until ufw opens it too; turn ufw off with `ufw disable`")
	}
	if unitActive(root, "firewalld.service") {
		out = append(out, "firewalld is running: a packet must pass both firewalls, so a port that stack opens stays closed until firewalld opens it too; turn it off with `systemctl disable --now firewalld`")
	}
	if unitActive(root, "nftables.service") && flushes(filepath.Join(root, "etc/nftables.conf")) {
		out = append(out, "/etc/nftables.conf flushes the whole ruleset: `systemctl reload nftables` removes the table of stack until it is applied again; remove the line \"flush ruleset\" there")
	}
	return out
}

// unitActive asks systemd's run-time directory: it holds a link per active unit.
func unitActive(root, unit string) bool {
	_, err := os.Lstat(filepath.Join(root, "run/systemd/units/invocation:"+unit))
	return err == nil
}

func ufwEnabled(file string) bool {
	return hasLine(file, func(line string) bool {
		key, value, ok := strings.Cut(line, "=")
		return ok && strings.TrimSpace(key) == "ENABLED" && strings.EqualFold(strings.Trim(strings.TrimSpace(value), `"'`), "yes")
	})
}

func flushes(file string) bool {
	return hasLine(file, func(line string) bool {
		return strings.Join(strings.Fields(strings.TrimSuffix(strings.TrimSpace(line), ";")), " ") == "flush ruleset"
	})
}

func hasLine(file string, match func(string) bool) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if match(lines.Text()) {
			return true
		}
	}
	return false
}
