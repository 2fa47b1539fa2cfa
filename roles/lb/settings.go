package lb

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"stack/appliance/config"
	"stack/roles/internal/upstream"
)

// setting is what an operator set on one server at run time. All of them are kept in a
// file of the run directory, so that an upgrade or a crash of this process does not put
// a drained server back to work. A stop of the whole service ends them.
type setting struct {
	Backend string `json:"backend"`
	Server  string `json:"server"`
	Address string `json:"address"` // another address is another server
	Admin   string `json:"admin"`
	Weight  *int   `json:"weight,omitempty"` // absent: the file's
}

// maxSettings bounds the file that is read, in bytes.
const maxSettings = 16 << 20

func settingsPath(node *config.Node) string {
	if node.Process.RunDir == "" {
		return ""
	}
	return filepath.Join(node.Process.RunDir, node.Name+"-lb-servers.json")
}

// saveSettings writes what is set now; no file where nothing is.
func saveSettings(path string, pools []*upstream.Pool) error {
	if path == "" {
		return nil
	}
	var list []setting
	for _, p := range pools {
		for _, s := range p.Servers() {
			admin, weight, weighted := s.Overrides()
			if admin == upstream.Ready && !weighted {
				continue
			}
			e := setting{Backend: p.Name(), Server: s.Name(), Address: s.Address(), Admin: admin.String()}
			if weighted {
				e.Weight = &weight
			}
			list = append(list, e)
		}
	}
	if len(list) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	text, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// readSettings reads the file; none is no settings.
func readSettings(path string) ([]setting, error) {
	if path == "" {
		return nil, nil
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && info.Size() > maxSettings {
		err = fmt.Errorf("%s has %d bytes", path, info.Size())
	}
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseSettings(text)
}

// parseSettings reads the list and checks every value.
func parseSettings(text []byte) ([]setting, error) {
	var list []setting
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, err
	}
	for _, e := range list {
		if _, ok := upstream.ParseAdmin(e.Admin); !ok {
			return nil, fmt.Errorf("server %s of backend %s: state %q is not known", e.Server, e.Backend, e.Admin)
		}
		if e.Weight != nil && (*e.Weight < 0 || *e.Weight > 256) {
			return nil, fmt.Errorf("server %s of backend %s: weight %d is out of range", e.Server, e.Backend, *e.Weight)
		}
	}
	return list, nil
}

// takeSettings gives the servers what the process before this one was told.
func (r *Role) takeSettings(path string) {
	list, err := readSettings(path)
	if err != nil {
		r.env.Log.Warn("server states set at run time are lost: their file cannot be read", "path", path, "error", err)
		return
	}
	for _, e := range list {
		p := r.pools.Pool(e.Backend)
		if p == nil {
			continue
		}
		s := p.Server(e.Server)
		if s == nil || s.Address() != e.Address {
			continue
		}
		admin, _ := upstream.ParseAdmin(e.Admin)
		s.SetAdmin(admin)
		if e.Weight != nil {
			s.SetWeight(*e.Weight)
		}
	}
}

// keepSettings writes the file after an operator's change or a reload.
func (r *Role) keepSettings() {
	g := r.current.Load()
	if g == nil {
		return
	}
	r.saving.Lock()
	defer r.saving.Unlock()
	path := settingsPath(g.node)
	if err := saveSettings(path, r.pools.Pools()); err != nil {
		r.env.Log.Warn("server states set at run time will not outlive this process", "path", path, "error", err)
	}
}
