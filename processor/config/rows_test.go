package config_test

import (
	"testing"
	"time"

	"keytrail/processor/config"
)

// TestRowD10DeliveryLag: by default events wait for older ones longer than the longest delivery measured in a real trail, 10.1 minutes.
func TestRowD10DeliveryLag(t *testing.T) {
	w := config.Default().Window
	if longest := 606 * time.Second; w.OutOfOrderness <= longest || w.AllowedLateness <= longest {
		t.Errorf("out_of_orderness %v, allowed_lateness %v; want more than %v", w.OutOfOrderness, w.AllowedLateness, longest)
	}
}
