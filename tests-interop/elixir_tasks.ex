# What Elixir programs do with tasks on other nodes, for the tests.

defmodule ElixirTasks do
  # Runs a function in a process of its own that lives on until it is told to end: {pid, result}.
  def owner(function) do
    me = self()

    pid =
      spawn(fn ->
        send(me, {self(), function.()})
        receive do: ({:end, reason} -> exit(reason))
      end)

    receive do: ({^pid, result} -> {pid, result})
  end

  # How a task ended, without the stack trace of its reason.
  def ended(task) do
    case Task.yield(task) do
      {:exit, {reason, stack}} when is_list(stack) -> {:error, reason}
      other -> other
    end
  end

  # Why a task that is awaited ends its owner.
  def awaited(function) do
    {pid, ref} = spawn_monitor(fn -> exit({:value, Task.await(function.())}) end)
    receive do: ({:DOWN, ^ref, :process, ^pid, reason} -> reason)
  end

  # For tasks under a supervisor here.

  def hold(:forever), do: Process.sleep(:infinity)

  def hold(:stubborn) do
    Process.flag(:trap_exit, true)
    Process.sleep(:infinity)
  end

  def hold(:obedient) do
    Process.flag(:trap_exit, true)
    receive do: ({:EXIT, _, reason} -> {:told, reason})
  end

  def hold({:gate, pid, item}) do
    send(pid, {:ready, self(), item})
    receive do: (:go -> item)
  end

  def fail(:raise, message), do: raise(message)
  def fail(:throw, term), do: throw(term)
  def fail(:exit, reason), do: exit(reason)
  def fail(:error, reason), do: :erlang.error(reason)

  # Fails until it has been called so often.
  def counted(agent, times) do
    if Agent.get_and_update(agent, &{&1 + 1, &1 + 1}) < times, do: exit(:again)
  end

  # For agents.

  def wait_with(state) do
    receive do: (:go -> state)
  end

  def pop([first | rest]), do: {first, rest}
end
