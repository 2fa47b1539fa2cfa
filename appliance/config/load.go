package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// DefaultFile is where a packaged server has its config.
const DefaultFile = "/etc/stack/stack.yaml"

// Options say where a config comes from. Only File has to be set.
type Options struct {
	File    string         // the YAML file; empty: DefaultFile
	ConfDir string         // *.yaml laid over it in name order; empty: conf.d beside the file; "-": none
	Environ []string       // as os.Environ; nil: nothing is read from the environment
	Flags   *pflag.FlagSet // flags made by Flags; may hold others; may be nil
	Node    string         // this node's name (--node); empty: STACK_NODE of Environ, else it finds itself
	Roles   []string       // run only these roles (--role); empty: STACK_ROLE of Environ, else all that the node has

	// Text replaces reading File, whose name then only stands in messages.
	Text []byte

	// How a node finds itself; nil: the machine's own.
	Hostname func() (string, error)
	Addrs    func() ([]netip.Addr, error)
	CPUs     int // event loops where the config says 0; 0: the CPUs this process may use
	// Memory in bytes, of which limits.memory is a quarter where the config says 0; 0:
	// what this process may use.
	Memory int64
}

// sources is what was read, kept for merging it again for each node.
type sources struct {
	opt     Options
	order   []string // files as read, then environment and flags, for sorting messages
	file    *node    // file and conf.d merged
	overlay *node    // environment and flags
	plan    plan
	names   []string // Node.Hosts, the same for all members
	members []member // every node of the site as the others see it
	dev     bool     // all nodes run here: environment and flags are for each of them
}

// Load reads, merges and checks everything: the returned error is of type Errors
// and holds all that is wrong with any node of the site, except a file that cannot
// be read, which is an ordinary error. Files that the config names are not opened.
func Load(opt Options) (*Config, error) {
	s := &sources{opt: opt, plan: standardPlan}
	if opt.File == "" {
		s.opt.File = DefaultFile
	}
	s.opt.processOptions()
	var p problems
	usable, err := s.read(&p)
	if err != nil {
		return nil, err
	}
	if !usable {
		return nil, p.err(s.order)
	}
	return s.config(&p)
}

// config checks what was read and builds the Config.
func (s *sources) config(p *problems) (*Config, error) {
	if s.opt.CPUs <= 0 {
		s.opt.CPUs = min(runtime.NumCPU(), 256) // as many loops as the file may ask for
	}
	if s.opt.Memory <= 0 {
		s.opt.Memory = usableMemory("/proc", "/sys/fs/cgroup")
	}
	if s.opt.Hostname == nil {
		s.opt.Hostname = os.Hostname
	}
	if s.opt.Addrs == nil {
		s.opt.Addrs = localAddrs
	}
	s.overlay = overlay(s.opt.Environ, s.opt.Flags, p)
	// The whole of it is decoded once with what belongs to this process, so that a
	// wrong value is reported even where no node takes it.
	c, places := decode(merge(s.file, s.overlay), p)
	c.src = s
	before := len(p.list)
	v := newValidator(p, places)
	v.topology(c)
	if len(p.list) == before && !p.about("nodes") && !p.about("vip") {
		s.checkNodes(c, p)
	} else {
		s.checkSections(v, c)
	}
	if err := p.err(s.order); err != nil {
		return nil, err
	}
	return c, nil
}

// read reads all files. usable is false when one of them is no YAML at all, so that
// nothing more can be said.
func (s *sources) read(p *problems) (usable bool, err error) {
	s.file, usable = &node{file: s.opt.File, line: 1, column: 1, kind: mapping}, true
	add := func(file string, text []byte) {
		s.order = append(s.order, file)
		if n := parseSource(file, text, p); n != nil {
			s.file = merge(s.file, n)
		} else {
			usable = false
		}
	}
	text := s.opt.Text
	if text == nil {
		if text, err = readBounded(s.opt.File); err != nil {
			cure := "name another file with --config"
			if errors.Is(err, fs.ErrPermission) {
				cure = "let the user that runs stack read it"
			}
			return false, fmt.Errorf("cannot read the config: %w; %s", err, cure)
		}
	}
	add(s.opt.File, text)
	dir := s.opt.ConfDir
	if dir == "-" || dir == "" && s.opt.Text != nil {
		return usable, nil
	}
	if dir == "" {
		dir = filepath.Join(filepath.Dir(s.opt.File), "conf.d")
	}
	names, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && s.opt.ConfDir == "" {
			return usable, nil
		}
		return false, fmt.Errorf("cannot read the directory of config files: %w", err)
	}
	for _, e := range names {
		if e.IsDir() || !strings.HasSuffix(e.Name(), ".yaml") || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		file := filepath.Join(dir, e.Name())
		text, err := readBounded(file)
		if err != nil {
			return false, fmt.Errorf("cannot read a config file of conf.d: %w", err)
		}
		add(file, text)
	}
	return usable, nil
}

// parseSource parses one file and writes short forms out, so that merging sees one
// form only.
func parseSource(file string, text []byte, p *problems) *node {
	n := parse(file, text, p)
	if n == nil {
		return nil
	}
	n = writeOut(n)
	if nodes := n.get("nodes"); nodes != nil && nodes.kind == list {
		out := *nodes
		out.items = slices.Clone(nodes.items)
		for i, item := range out.items {
			if set := item.get("set"); set != nil && set.kind == mapping {
				out.items[i] = item.with("set", writeOut(set))
			}
		}
		n = n.with("nodes", &out)
	}
	return n
}

// writeOut turns "vip: [10.0.0.10]" into a group named vip.
func writeOut(n *node) *node {
	vip := n.get("vip")
	if vip == nil || vip.kind != list || len(vip.items) == 0 {
		return n
	}
	for _, item := range vip.items {
		if item.kind != scalar {
			return n
		}
	}
	name := *vip.items[0]
	name.value, name.quoted = "vip", true
	group := *vip
	group.kind, group.items = mapping, nil
	group.entries = []entry{{"name", &name, &name}, {"addresses", vip, vip}}
	out := *vip
	out.items = []*node{&group}
	return n.with("vip", &out)
}

// readBounded reads a regular file or a pipe, but never more than parse accepts.
func readBounded(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFileBytes+1))
}

// tree merges the config of one node, or of the site where name is "". The
// environment and flags belong to this process: they are laid over only where own
// is true.
func (s *sources) tree(name string, own bool) *node {
	t := s.file
	if name != "" {
		if nodes := s.file.get("nodes"); nodes != nil {
			for _, item := range nodes.items {
				if item.name() == name {
					if set := item.get("set"); set != nil && set.kind == mapping {
						t = merge(t, set)
					}
				}
			}
		}
	}
	if own {
		t = merge(t, s.overlay)
	}
	return t
}

// fingerprint names the content of the files: the same on every node that has the
// same keys and values, whatever the comments, the order of keys and the layout.
func (s *sources) fingerprint() string {
	h := sha256.New()
	s.file.digest(h)
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// digest writes n in a form that no two different trees share.
func (n *node) digest(w io.Writer) {
	if n == nil {
		return
	}
	fmt.Fprintf(w, "%d %d %d %d:%s\n", n.kind, len(n.entries), len(n.items), len(n.value), n.value)
	entries := slices.Clone(n.entries)
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	for _, e := range entries {
		fmt.Fprintf(w, "%d:%s\n", len(e.key), e.key)
		e.value.digest(w)
	}
	for _, item := range n.items {
		item.digest(w)
	}
}

func localAddrs() ([]netip.Addr, error) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr().Unmap())
		}
	}
	return out, nil
}
