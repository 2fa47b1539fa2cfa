package config

import "time"

// VIPNotify tells the outside of every change of a group's state: it has a command or a
// webhook.
type VIPNotify struct {
	Command   []string      `yaml:"command" doc:"A program by its absolute path, and its arguments; no shell is involved. It runs as the user of the service with VIP_GROUP, VIP_STATE (master, backup, fault), VIP_REASON, VIP_ADDRESSES and VIP_NODE in its environment."`
	Webhook   string        `yaml:"webhook" doc:"An https:// URL that gets the same as JSON by POST; http:// on this machine only. A failure is tried again four times unless a newer state replaces it."`
	TokenFile string        `yaml:"token_file" doc:"The file of a token that the webhook is sent in the field Authorization, as a Bearer token."`
	CAFile    string        `yaml:"ca_file" doc:"The certificates that the webhook's certificate must come from; by default those of the system."`
	Timeout   time.Duration `yaml:"timeout" default:"10s" min:"100ms" max:"5m" doc:"How long the command may run before it is killed with all that it has started, or the webhook take for its answer."`
}

// VIPTrack is what a balancer must have, beside its own health, to hold a group.
type VIPTrack struct {
	Backends   VIPTrackBackends    `yaml:"backends" doc:"The pools of this balancer."`
	Interfaces []VIPTrackInterface `yaml:"interfaces" doc:"Other interfaces whose link it needs, such as the one towards the web servers."`
	Commands   []VIPTrackCommand   `yaml:"commands" doc:"Programs that say by their exit status whether all is well."`
}

// VIPTrackBackends weighs pools without a usable server.
type VIPTrackBackends struct {
	Enabled bool `yaml:"enabled" default:"true" doc:"Whether a pool in which no server is up counts."`
	Weight  int  `yaml:"weight" default:"10" min:"0" max:"253" doc:"What the priority loses meanwhile, so that a balancer that sees all pools is preferred; where no balancer does, the addresses stay. 0 gives the addresses away: if no balancer sees the pool, nobody holds them."`
}

// VIPTrackInterface weighs the link of an interface.
type VIPTrackInterface struct {
	Name   string `yaml:"name" doc:"The interface."`
	Weight int    `yaml:"weight" default:"0" min:"0" max:"253" doc:"What the priority loses while it has no link; 0 gives the addresses away."`
}

// VIPTrackCommand weighs the exit status of a program.
type VIPTrackCommand struct {
	Name     string        `yaml:"name" doc:"The name in logs, states and metrics."`
	Command  []string      `yaml:"command" doc:"A program by its absolute path, and its arguments; no shell is involved. Exit status 0 is good."`
	Interval time.Duration `yaml:"interval" default:"2s" min:"100ms" max:"1h" doc:"The time between two starts."`
	Timeout  time.Duration `yaml:"timeout" default:"1s" min:"10ms" max:"10m" doc:"One that runs longer is killed and has failed."`
	Rise     int           `yaml:"rise" default:"2" min:"1" max:"100" doc:"Good runs in a row until it counts as good again."`
	Fall     int           `yaml:"fall" default:"3" min:"1" max:"100" doc:"Failed runs in a row until it counts as failed. It is good until then."`
	Weight   int           `yaml:"weight" default:"0" min:"0" max:"253" doc:"What the priority loses while it fails; 0 gives the addresses away."`
}
