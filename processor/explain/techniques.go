package explain

// techniques are the names of the techniques of MITRE ATT&CK for Enterprise that
// Keytrail's detectors and rules name, a sub-technique behind its technique. Source:
// attack.mitre.org/techniques, version 17.
var techniques = map[string]string{
	"T1005":     "Data from Local System",
	"T1020":     "Automated Exfiltration",
	"T1070":     "Indicator Removal",
	"T1078.004": "Valid Accounts: Cloud Accounts",
	"T1098":     "Account Manipulation",
	"T1485":     "Data Destruction",
	"T1486":     "Data Encrypted for Impact",
	"T1489":     "Service Stop",
	"T1526":     "Cloud Service Discovery",
	"T1530":     "Data from Cloud Storage",
	"T1537":     "Transfer Data to Cloud Account",
	"T1531":     "Account Access Removal",
	"T1548":     "Abuse Elevation Control Mechanism",
	"T1550.001": "Use Alternate Authentication Material: Application Access Token",
	"T1552":     "Unsecured Credentials",
	"T1555.006": "Credentials from Password Stores: Cloud Secrets Management Stores",
	"T1557":     "Adversary-in-the-Middle",
	"T1562":     "Impair Defenses",
	"T1562.008": "Impair Defenses: Disable or Modify Cloud Logs",
	"T1608.003": "Stage Capabilities: Install Digital Certificate",
	"T1622":     "Debugger Evasion",
	"T1580":     "Cloud Infrastructure Discovery",
}

// Technique returns the name of an ATT&CK technique, or "" for an id that only a
// user's rule has.
func Technique(id string) string { return techniques[id] }
