//go:build soak

package corpus

func init() { zombieRuns = 500 }
