package search

// The searches that setup stores at the receiver, as search templates by the ends of their
// names. They name only attributes that documents have in every body.
var storedSearches = []struct{ name, source string }{
	// The newest anomalies. Parameters: since (default now-1d) and size (20).
	{"anomalies", `{"size":{{size}}{{^size}}20{{/size}},` +
		`"query":{"range":{"@timestamp":{"gte":"{{since}}{{^since}}now-1d{{/since}}"}}},` +
		`"sort":[{"@timestamp":"desc"}],` +
		`"_source":["@timestamp","keytrail.anomaly.severity","keytrail.anomaly.detector","keytrail.anomaly.reason",` +
		`"keytrail.principal.id","aws.kms.key.arn"]}`},
	// The principals that used a key. Parameters: key, an ARN, and since (default now-30d).
	// A call that two accounts recorded counts once.
	{"principals", `{"size":0,"query":{"bool":{"filter":[{"term":{"aws.kms.key.arn":"{{key}}"}},` +
		`{"range":{"@timestamp":{"gte":"{{since}}{{^since}}now-30d{{/since}}"}}}]}},` +
		`"aggs":{"principals":{"terms":{"field":"keytrail.principal.id","order":{"calls":"desc"}},` +
		`"aggs":{"calls":{"cardinality":{"field":"keytrail.call.id"}}}}}}`},
}

// searches returns the search templates, named after the prefix of the indices.
func searches(x *Index) (list []resource) {
	for _, s := range storedSearches {
		name := x.Prefix + "-" + s.name
		list = append(list, resource{what: "search template", name: name, path: "/_scripts/" + name,
			body:  object{"script": object{"lang": "mustache", "source": s.source}},
			found: []any{"script"}, content: "script"})
	}
	return list
}
