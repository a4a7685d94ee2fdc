# Phoenix.PubSub as other nodes see it: the scope, the groups, the names and the messages of its adapter PG2,
# and the struct and dispatcher of channels. Phoenix itself is not installed where these tests run; what is
# here was written after phoenix_pubsub 2.2 and phoenix 1.7, under their names, so that nodes cannot tell.

defmodule Phoenix.Socket.Broadcast do
  defstruct topic: nil, event: nil, payload: nil
end

defmodule Phoenix.PubSub do
  def start(name, pool_size) do
    case :pg.start(Phoenix.PubSub) do
      {:ok, _} -> :ok
      {:error, {:already_started, _}} -> :ok
    end

    {:ok, _} = Registry.start_link(keys: :duplicate, name: name)
    adapter = Module.concat(name, "Adapter")
    groups = [adapter | for(n <- 2..pool_size//1, do: :"#{adapter}_#{n}")]
    :persistent_term.put(adapter, List.to_tuple(groups))
    for group <- groups, do: {:ok, _} = GenServer.start_link(Phoenix.PubSub.PG2Worker, {name, group}, name: group)
    :ok
  end

  def subscribe(name, topic), do: {:ok, _} = Registry.register(name, topic, nil)

  def broadcast(name, topic, message, dispatcher \\ __MODULE__), do: broadcast_from(name, :none, topic, message, dispatcher)

  def broadcast_from(name, from, topic, message, dispatcher \\ __MODULE__) do
    for pid <- :pg.get_members(Phoenix.PubSub, group(name)), node(pid) != node() do
      send(pid, {:forward_to_local, topic, message, dispatcher})
    end

    local_broadcast(name, from, topic, message, dispatcher)
  end

  def direct_broadcast(node, name, topic, message, dispatcher \\ __MODULE__) do
    send({group(name), node}, {:forward_to_local, topic, message, dispatcher})
    :ok
  end

  def local_broadcast(name, from, topic, message, dispatcher) do
    Registry.dispatch(name, topic, {dispatcher, :dispatch, [from, message]})
  end

  def dispatch(entries, from, message) do
    for {pid, _} <- entries, pid != from, do: send(pid, message)
    :ok
  end

  defp group(name) do
    groups = :persistent_term.get(Module.concat(name, "Adapter"))
    elem(groups, :erlang.phash2(self(), tuple_size(groups)))
  end
end

defmodule Phoenix.PubSub.PG2Worker do
  use GenServer

  def init({name, group}) do
    :ok = :pg.join(Phoenix.PubSub, group, self())
    {:ok, name}
  end

  def handle_info({:forward_to_local, topic, message, dispatcher}, name) do
    Phoenix.PubSub.local_broadcast(name, :none, topic, message, dispatcher)
    {:noreply, name}
  end

  def handle_info(_, name), do: {:noreply, name}
end

defmodule Phoenix.Channel.Server do
  # Only a %Broadcast{} gets past this, with the event that its clients wait for.
  def dispatch(entries, from, %Phoenix.Socket.Broadcast{event: event, topic: topic} = message)
      when is_binary(event) and is_binary(topic) do
    for {pid, _} <- entries, pid != from, do: send(pid, {:fastlane, message})
    :ok
  end
end
