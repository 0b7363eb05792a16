package export_test

import (
	"os"
	"testing"

	"github.com/quire-ml/quire/runners/engine"
)

func TestMain(m *testing.M) {
	engine.Init()
	os.Exit(m.Run())
}
