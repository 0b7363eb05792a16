//go:build soak

package schedule

import "testing"

// TestSoakSlots is 10,000 slots of each policy:
//
//	go test -tags soak -run SoakSlots -v ./runners/schedule
func TestSoakSlots(t *testing.T) {
	begins := []string{"2026-01-10T00:00:00Z", "2026-08-01T00:00:00Z"}
	for i, policy := range [][2]string{{"skip", "latest"}, {"skip", "none"}, {"buffer_one", "latest"}, {"buffer_one", "none"}} {
		t.Run(policy[0]+" "+policy[1], func(t *testing.T) {
			table := timetable(t, "*/15 * * * *", "Europe/Berlin")
			simulate(t, uint64(i)+10, 10_000, Options{Timetable: table, Overlap: policy[0], CatchUp: policy[1]}, at(t, begins[i%2]))
		})
	}
}
