package cloudtrail

// shapes are kinds of JSON objects that hold no original event, told by names of
// their members; the first of which an object has all is its kind.
var shapes = []struct {
	names []string
	name  string
}{
	{[]string{"eventversion", "eventsource"}, "a record with its names in lower case, as Athena and Glue export them: read CloudTrail's own files"},
	{[]string{"eventsource", "eventname"}, "a record with its names in lower case, as Athena and Glue export them: read CloudTrail's own files"},
	{[]string{"EventName", "EventSource"}, "an item of LookupEvents, or a row made of one, without CloudTrailEvent"},
	{[]string{"class_uid", "metadata"}, "an OCSF record, such as Security Lake writes, without raw_data: read CloudTrail's own files"},
	{[]string{"schemaVersion", "service", "severity"}, "a GuardDuty finding, and not an event"},
	{[]string{"ProductArn", "Severity"}, "a finding of Security Hub, and not an event"},
	{[]string{"detail-type", "detail"}, "an EventBridge event that holds no event of CloudTrail"},
	{[]string{"configurationItemVersion"}, "a record of AWS Config, and not an event"},
	{[]string{"configurationItems"}, "a file of AWS Config, and not a trail"},
	{[]string{"_source"}, "a document of Elasticsearch or OpenSearch without the original event: keep event.original"},
	{[]string{"_index"}, "a document of Elasticsearch or OpenSearch without the original event: keep event.original"},
	{[]string{"result"}, "a result of Splunk without the original event: export _raw"},
	{[]string{"_raw"}, "a result of Splunk whose _raw is not an event"},
	{[]string{"eventJson"}, "a row of CloudTrail Lake whose eventJson is not an event"},
	{[]string{"@message"}, "a result of CloudWatch Logs Insights whose @message is not an event"},
	{[]string{"QueryStatus"}, "the status of a query, without rows"},
	{[]string{"QueryId"}, "the status of a query, without rows"},
	{[]string{"httpRequest", "webaclId"}, "a log of AWS WAF, and not an event"},
	{[]string{"logEvents"}, "messages of CloudWatch Logs without events"},
	{[]string{"Version", "Statement"}, "a policy, and not an event"},
}

// unknownShape is what is said of an object of which nothing is known.
const unknownShape = "JSON of no shape that carries CloudTrail events"

// shapeOf names an object that is neither an event nor an envelope of one.
func (d *Decoder) shapeOf(raw []byte) string {
	s := &d.s
	s.reset(raw, d.lim.Depth)
	found := map[string]bool{}
	var w walk
	for pos := s.open(&w, 0); pos != failed; {
		name, value, ok := s.next(&w, pos)
		if !ok {
			break
		}
		if len(found) < maxPath {
			found[name] = true
		}
		pos = s.skip(value)
	}
	for _, shape := range shapes {
		all := true
		for _, name := range shape.names {
			all = all && found[name]
		}
		if all {
			return "not CloudTrail's JSON but " + shape.name
		}
	}
	return unknownShape
}
