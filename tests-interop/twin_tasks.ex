# Plays scenarios of tasks with Elixir's own Task; see twin_tasks.py, which plays the same with ours.

defmodule TwinTasks do
  def supervise(max), do: Task.Supervisor.start_link(max_children: max) |> elem(1)

  # Plays in a process of its own: all that it says, and why it ended.
  def play(supervisor, {module, function}, trap, steps) do
    me = self()

    {pid, ref} =
      spawn_monitor(fn ->
        Process.flag(:trap_exit, trap)
        own(me, supervisor, {module, function}, steps, %{})
        exit(:done)
      end)

    {events, pids} = collect(pid, ref, [], [])

    for pid <- pids do
      ref = Process.monitor(pid)
      Process.exit(pid, :kill)
      receive do: ({:DOWN, ^ref, _, _, _} -> :ok)
    end

    sync(supervisor)
    events
  end

  defp collect(pid, ref, events, pids) do
    receive do
      {^pid, :task, task} -> collect(pid, ref, events, [task | pids])
      {^pid, event} -> collect(pid, ref, [event | events], pids)
      {:DOWN, ^ref, _, _, reason} -> {Enum.reverse([{:ended, plain(reason)} | events]), pids}
    end
  end

  defp own(_, _, _, [], _), do: :ok

  defp own(teller, supervisor, work, [step | steps], tasks) do
    {result, tasks} =
      try do
        case step(step, supervisor, work, tasks) do
          {:started, id, task} ->
            send(teller, {self(), :task, task.pid})
            {:started, Map.put(tasks, id, task)}

          result ->
            {result, tasks}
        end
      catch
        :exit, {reason, {module, _, _}} when module in [Task, Task.Supervised] -> {{:exits, plain(reason)}, tasks}
        :error, %RuntimeError{} -> {{:exits, :max_children}, tasks}
      end

    sync(supervisor)
    send(teller, {self(), result})
    own(teller, supervisor, work, steps, tasks)
  end

  # What other processes sent before they said they are done has come.
  defp sync(supervisor), do: Task.Supervisor.children(supervisor)

  defp step({:start, id, kind}, supervisor, {module, function}, _) do
    task =
      case kind do
        :own -> Task.async(module, function, [])
        :link -> Task.Supervisor.async(supervisor, module, function, [])
        :nolink -> Task.Supervisor.async_nolink(supervisor, module, function, [])
      end

    {:started, id, task}
  end

  # Orders are followed at once: afterwards the task has ended, or traps exits.
  defp step({:tell, id, order}, _, _, tasks) do
    pid = tasks[id].pid
    ref = Process.monitor(pid)
    send(pid, {:order, order, self()})

    receive do
      {:DOWN, ^ref, _, _, _} ->
        :told

      {:ready, ^pid} ->
        Process.demonitor(ref, [:flush])
        :told
    end
  end

  defp step({:await, id, time}, _, _, tasks), do: {:value, Task.await(tasks[id], time)}
  defp step({:yield, id, time}, _, _, tasks), do: answer(Task.yield(tasks[id], time))
  defp step({:ignore, id}, _, _, tasks), do: answer(Task.ignore(tasks[id]))
  defp step({:shutdown, id, how}, _, _, tasks), do: answer(Task.shutdown(tasks[id], how))

  # If one fails, Elixir leaves the results that have come already in the mailbox; ours does not.
  defp step({:await_many, ids, time}, _, _, tasks) do
    awaited = for id <- ids, do: tasks[id]

    try do
      Task.await_many(awaited, time)
    after
      for %{ref: ref} <- awaited do
        receive do: ({^ref, _} -> :ok), after: (0 -> :ok)
      end
    end
  end

  defp step({:yield_many, ids, time}, _, _, tasks) do
    for {_, result} <- Task.yield_many(for(id <- ids, do: tasks[id]), time), do: answer(result)
  end

  defp step({:alive, ids}, supervisor, _, tasks) do
    for id <- ids do
      ref = Process.monitor(tasks[id].pid)
      sync(supervisor)

      receive do
        {:DOWN, ^ref, _, _, _} -> false
      after
        0 -> Process.demonitor(ref, [:flush])
      end
    end
  end

  defp step(:mailbox, _, _, tasks), do: for(message <- flush(), do: named(message, tasks))

  # Items wait until the conductor lets them go on, one after the other.
  defp step({:stream, kind, items, order, options, take}, supervisor, {module, _}, _) do
    conductor = spawn_link(fn -> conduct(order) end)
    arguments = [conductor]

    stream =
      case kind do
        :own -> Task.async_stream(items, module, :item, arguments, options)
        :link -> Task.Supervisor.async_stream(supervisor, items, module, :item, arguments, options)
        :nolink -> Task.Supervisor.async_stream_nolink(supervisor, items, module, :item, arguments, options)
      end

    try do
      for result <- if(take == :all, do: Enum.to_list(stream), else: Enum.take(stream, take)), do: answer(result)
    after
      Process.unlink(conductor)
      ref = Process.monitor(conductor)
      Process.exit(conductor, :kill)
      receive do: ({:DOWN, ^ref, _, _, _} -> :ok)
      receive do: ({:EXIT, ^conductor, _} -> :ok), after: (0 -> :ok)
    end
  end

  def conduct([]), do: Process.sleep(:infinity)

  def conduct([n | order]) do
    receive do
      {:ready, pid, ^n} ->
        ref = Process.monitor(pid)
        send(pid, :go)
        receive do: ({:DOWN, ^ref, _, _, _} -> conduct(order))
    end
  end

  defp answer({:ok, value}), do: {:ok, value}
  defp answer({:exit, reason}), do: {:exit, plain(reason)}
  defp answer(nil), do: :none

  defp flush do
    receive do
      message -> [message | flush()]
    after
      0 -> []
    end
  end

  defp named(message, tasks) do
    find = fn key, value -> Enum.find_value(tasks, :unknown, fn {id, task} -> Map.get(task, key) == value && id end) end

    case message do
      {:DOWN, ref, :process, _, reason} -> {:down, find.(:ref, ref), plain(reason)}
      {:EXIT, pid, reason} -> {:exited, find.(:pid, pid), plain(reason)}
      {ref, value} when is_reference(ref) -> {:value, find.(:ref, ref), value}
      other -> other
    end
  end

  # Reasons as both sides have them.
  defp plain({%RuntimeError{message: message}, stack}) when is_list(stack), do: {:raised, message}
  defp plain({{:RuntimeError, message}, stack}) when is_list(stack), do: {:raised, message}
  defp plain(reason), do: reason

  # What tasks do.

  def body(how \\ :plain) do
    receive do
      {:order, {:return, value}, _} ->
        value

      {:order, {:exit, reason}, _} ->
        exit(reason)

      {:order, :raise, _} ->
        raise "boom"

      {:order, {:trap, how}, from} ->
        Process.flag(:trap_exit, true)
        send(from, {:ready, self()})
        body(how)

      {:EXIT, _, _} when how == :obey ->
        :obeyed
    end
  end

  def item({n, action}, conductor) do
    send(conductor, {:ready, self(), n})
    receive do: (:go -> :ok)

    case action do
      :return -> n
      {:exit, reason} -> exit(reason)
      :raise -> raise "boom"
    end
  end
end
