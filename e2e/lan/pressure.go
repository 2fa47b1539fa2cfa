package lan

import (
	"os"
	"strconv"
	"strings"
)

// Pressure is for how many percent of the last ten seconds some process waited for a
// processor (proc_pressure_cpu(5)); 0 where the kernel does not tell.
func Pressure() float64 {
	text, err := os.ReadFile("/proc/pressure/cpu")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "avg10=")
	number, _, _ := strings.Cut(rest, " ")
	percent, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0
	}
	return percent
}
