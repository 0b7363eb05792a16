package configs

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// GC says which rounds stay, and with them what they reach. 0 and empty keep none; where
// all rules do, nothing is ever removed.
type GC struct {
	KeepLast       int    `mapstructure:"keep_last"`
	KeepDaily      int    `mapstructure:"keep_daily"`
	KeepWeekly     int    `mapstructure:"keep_weekly"`
	KeepMonthly    int    `mapstructure:"keep_monthly"`
	KeepWithin     string `mapstructure:"keep_within"`
	KeepPromotions int    `mapstructure:"keep_promotions"`
	KeepSweeps     string `mapstructure:"keep_sweeps"`
}

// Keeps reports whether a rule keeps rounds.
func (g *GC) Keeps() bool {
	years, months, days, hours, err := g.Within()
	return err == nil && g.KeepLast+g.KeepDaily+g.KeepWeekly+g.KeepMonthly+years+months+days+hours > 0
}

// Sweeps returns the sweeps of KeepSweeps.
func (g *GC) Sweeps() []string {
	return strings.FieldsFunc(g.KeepSweeps, func(r rune) bool { return r == ' ' || r == ',' })
}

// Within returns the length of time of KeepWithin.
func (g *GC) Within() (years, months, days, hours int, err error) { return span(g.KeepWithin) }

var spanPattern = regexp.MustCompile(`^(?:(\d{1,4})y)?(?:(\d{1,5})m)?(?:(\d{1,6})d)?(?:(\d{1,7})h)?$`)

// span reads a length of time such as 2y5m7d3h.
func span(text string) (years, months, days, hours int, err error) {
	parts := spanPattern.FindStringSubmatch(text)
	if parts == nil {
		return 0, 0, 0, 0, fmt.Errorf("it is not years, months, days and hours in this order, each a number with y, m, d or h")
	}
	var n [4]int
	for i, part := range parts[1:] {
		if part != "" {
			n[i], _ = strconv.Atoi(part)
		}
	}
	return n[0], n[1], n[2], n[3], nil
}

// checkSpan says why a text is no length of time.
func checkSpan(text string) error {
	_, _, _, _, err := span(text)
	return err
}
