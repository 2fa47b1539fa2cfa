package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// Flags returns a new flag set with one flag per key (--lb.loops 2), for a command
// to add to its own. They are hidden from the short help; the reference page lists
// them. A flag's text is checked by Load, like the rest of the config, not when it
// is parsed.
func Flags() *pflag.FlagSet {
	fs := pflag.NewFlagSet("config", pflag.ContinueOnError)
	for _, k := range Keys() {
		fs.String(k.Path, "", k.Doc)
		f := fs.Lookup(k.Path)
		f.Hidden = true
		if k.f.typ.Kind() == reflect.Bool {
			f.NoOptDefVal = "true"
		}
	}
	return fs
}

// Variables that stand for the flags --node and --role, and are no keys.
const (
	nodeVariable = "STACK_NODE"
	roleVariable = "STACK_ROLE"
)

// internalPrefix begins variables that the supervisor hands to its children.
const internalPrefix = "STACK_INTERNAL_"

// delimiter keeps viper from splitting keys that hold dots, such as host names.
const delimiter = "::"

// overlay is the tree of what environ and flags set, flags over environment, or
// nil. viper decides what holds; that it read a text, and from where, is all that
// leaves this function. An empty variable counts as absent.
func overlay(environ []string, flags *pflag.FlagSet, p *problems) *node {
	keys := Keys()
	v := viper.NewWithOptions(viper.KeyDelimiter(delimiter))
	env := environment(environ, keys, p)
	set := map[string]any{}
	for _, k := range keys {
		if text, ok := env[k.Env]; ok {
			nest(set, strings.Split(k.Path, "."), text)
		}
		if flags != nil {
			if f := flags.Lookup(k.Path); f != nil {
				_ = v.BindPFlag(strings.ReplaceAll(k.Path, ".", delimiter), f) // fails for a nil flag only
			}
		}
	}
	if err := v.MergeConfigMap(set); err != nil {
		p.add(Error{File: "environment", Text: err.Error()})
		return nil
	}
	var tree *node
	for _, k := range keys {
		source := "environment " + k.Env
		if flags != nil && flags.Changed(k.Path) {
			source = "flag --" + k.Path
		} else if _, ok := env[k.Env]; !ok {
			continue
		}
		tree = merge(tree, k.tree(source, v.GetString(strings.ReplaceAll(k.Path, ".", delimiter))))
	}
	return tree
}

// processOptions fills in what --node and --role left open.
func (o *Options) processOptions() {
	for _, kv := range o.Environ {
		name, text, _ := strings.Cut(kv, "=")
		switch {
		case text == "":
		case name == nodeVariable && o.Node == "":
			o.Node = text
		case name == roleVariable && len(o.Roles) == 0:
			for role := range strings.SplitSeq(text, ",") {
				o.Roles = append(o.Roles, strings.TrimSpace(role))
			}
		}
	}
}

// environment picks the variables of the config and refuses those that look like
// one and are none.
func environment(environ []string, keys []Key, p *problems) map[string]string {
	names := []string{nodeVariable, roleVariable}
	for _, k := range keys {
		names = append(names, k.Env)
	}
	out := map[string]string{}
	for _, kv := range environ {
		name, text, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, EnvPrefix) || strings.HasPrefix(name, internalPrefix) || text == "" {
			continue
		}
		if !slices.Contains(names, name) {
			p.add(Error{File: "environment", Key: name, Text: fmt.Sprintf("unknown variable%s; variables that begin with %s are keys of the config", hint(name, names), EnvPrefix)})
			continue
		}
		out[name] = text
	}
	return out
}

func nest(m map[string]any, parts []string, text string) {
	for _, part := range parts[:len(parts)-1] {
		next, ok := m[part].(map[string]any)
		if !ok {
			next = map[string]any{}
			m[part] = next
		}
		m = next
	}
	m[parts[len(parts)-1]] = text
}
