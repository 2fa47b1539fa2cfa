package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// generatorArgument, as first argument, makes this program a load generator, or the
// servers of net/http, that the benchmark runs beside the contenders.
const generatorArgument = "generate"

var generators = map[string]func(address string, d time.Duration) (outcome, error){
	"handshakes": shakeHands,
	"bulk":       takeBulk,
	"steady":     sendSteadily,
	"modest":     sendModestly,
	"greedy":     takeOneBulk,
}

// runGenerator prints the outcome for the process that asked for it.
func runGenerator(arguments []string) error {
	if len(arguments) != 3 || generators[arguments[0]] == nil {
		return fmt.Errorf("generator %q: use KIND ADDRESS DURATION", arguments)
	}
	d, err := time.ParseDuration(arguments[2])
	if err != nil {
		return err
	}
	o, err := generators[arguments[0]](arguments[1], d)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(o)
}
