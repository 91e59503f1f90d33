import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.plugins.Plugin;

/** Starts one node of OpenSearch without its distribution: OpenSearch HOME PORT TRANSPORT_PORT [NAME=VALUE ...]. */
class OpenSearch {
  /** Opens the constructor that takes plugins from the class path. */
  static class Embedded extends Node {
    Embedded(Environment environment) {
      super(environment, List.<Class<? extends Plugin>>of(
          org.opensearch.transport.Netty4Plugin.class,
          org.opensearch.analysis.common.CommonAnalysisPlugin.class,
          org.opensearch.painless.PainlessPlugin.class,
          org.opensearch.script.mustache.MustachePlugin.class), false);
    }
  }

  public static void main(String[] args) throws Exception {
    Path home = Path.of(args[0]);
    Settings.Builder settings = Settings.builder()
        .put("path.home", home).put("path.data", home.resolve("data")).put("path.logs", home.resolve("logs"))
        .put("cluster.name", "keytrail").put("discovery.type", "single-node").put("network.host", "127.0.0.1")
        .put("http.port", args[1]).put("transport.port", args[2])
        .put("http.type", "netty4").put("transport.type", "netty4")
        .put("cluster.routing.allocation.disk.threshold_enabled", false);
    for (int i = 3; i < args.length; i++) {
      String[] pair = args[i].split("=", 2);
      settings.put(pair[0], pair[1]);
    }
    Node node = new Embedded(
        InternalSettingsPreparer.prepareEnvironment(settings.build(), Map.of(), home.resolve("config"), () -> "node"));
    node.start();
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      try {
        node.close();
      } catch (java.io.IOException e) {
        e.printStackTrace();
      }
    }));
    Thread.currentThread().join();
  }
}
