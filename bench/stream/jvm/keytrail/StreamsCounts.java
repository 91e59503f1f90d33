package keytrail;

import java.time.Duration;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.WindowedSerdes;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowStore;

/**
 * Counts calls per KMS key, per principal and per pair of both in windows of event
 * time, each call once, exactly once: what stages count and detect of Keytrail do
 * before they judge, written as one writes it with Kafka Streams.
 */
public final class StreamsCounts {
  private static final String SEEN = "seen";
  private static final byte[] NOTHING = new byte[0];
  private static final Duration SIZE = Duration.ofMinutes(5);
  private static final Duration GRACE = Duration.ofHours(1);

  private StreamsCounts() {}

  /** Arguments: brokers, application id, input topic, output topic, state directory, end of event time in ms. */
  public static void main(String[] args) {
    Properties p = new Properties();
    p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[0]);
    p.put(StreamsConfig.APPLICATION_ID_CONFIG, args[1]);
    p.put(StreamsConfig.STATE_DIR_CONFIG, args[4]);
    p.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    p.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
    KafkaStreams streams = new KafkaStreams(topology(args[2], args[3], Long.parseLong(args[5])), p);
    streams.setUncaughtExceptionHandler(
        e -> {
          e.printStackTrace();
          Runtime.getRuntime().halt(1); // the benchmark sees that, and shows what was printed
          return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
    streams.start();
  }

  private static org.apache.kafka.streams.Topology topology(String input, String output, long until) {
    Serde<String> text = Serdes.String();
    StreamsBuilder b = new StreamsBuilder();
    b.addStateStore(Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(SEEN), text, Serdes.Long()));
    b.stream(input, Consumed.with(text, Serdes.ByteArray()))
        .process(() -> new Split(until), SEEN)
        .groupByKey(Grouped.with("calls", text, Serdes.ByteArray()))
        .windowedBy(TimeWindows.ofSizeAndGrace(SIZE, GRACE))
        .count(Materialized.<String, Long, WindowStore<Bytes, byte[]>>as("counts").withKeySerde(text).withValueSerde(Serdes.Long()))
        .toStream()
        .to(output, Produced.with(WindowedSerdes.timeWindowedSerdeFrom(String.class, SIZE.toMillis()), Serdes.Long()));
    return b.build();
  }

  /** Drops duplicates, and makes of each call one record for each of its entities, at the event's time. */
  private static final class Split implements Processor<String, byte[], String, byte[]> {
    private final LogRecord in = new LogRecord();
    private final long until;
    private ProcessorContext<String, byte[]> context;
    private KeyValueStore<String, Long> seen;

    Split(long until) {
      this.until = until;
    }

    @Override
    public void init(ProcessorContext<String, byte[]> c) {
      context = c;
      seen = c.getStateStore(SEEN);
    }

    @Override
    public void process(Record<String, byte[]> r) {
      in.read(r.value());
      // What comes later only closes Keytrail's last windows; it would move the time of
      // this program's windows ahead of what other partitions have not brought yet.
      if (in.timeMs >= until || seen.putIfAbsent(r.key(), in.timeMs) != null) {
        return;
      }
      count("principal\n" + in.principal);
      key(in.key);
      if (in.secondKey != null) {
        key(in.secondKey);
      }
    }

    private void key(String arn) {
      count("key\n" + arn);
      count("pair\n" + arn + "\n" + in.principal);
    }

    private void count(String entity) {
      context.forward(new Record<>(entity, NOTHING, in.timeMs));
    }
  }
}
